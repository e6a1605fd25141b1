#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {

std::unique_ptr<Scorer> MakeOneaiScorer(std::vector<TypicalTask> typical_tasks) {
  return MakeFgdScorer(std::move(typical_tasks));
}

}  // namespace oneai::fabric
