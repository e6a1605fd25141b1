// BestFit of the FGD paper: the node that has least left after the placement, CPU and devices
// weighted alike (Protean, Hadary et al., OSDI'20, in the form that FGD compares with).
//
// The original stretches the scores of the feasible nodes to 0..100 before it compares them. That
// keeps the best node best and equals equal, so that the choice is the same without it, and the
// score depends on the node alone.
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

class BestFitScorer : public Scorer {
 public:
  NodeScore Score(const NodeState& node, const TaskShape& shape,
                  const DeviceAlternative* device) const override {
    const double cpu_left = static_cast<double>(node.cpu_milli_free - shape.cpu_milli);
    const double device_left = static_cast<double>(DeviceMilliFree(node) -
                                                   (device != nullptr ? device->total_milli() : 0));
    const double score =
        kScoreMax * (1 - 0.5 * cpu_left / kNodeCpuMilli - 0.5 * device_left / kNodeDeviceMilli);
    return {ClampScore(score), TightestDevice(node, device)};
  }
};

}  // namespace

std::unique_ptr<Scorer> MakeBestFitScorer() { return std::make_unique<BestFitScorer>(); }

}  // namespace oneai::fabric
