#include "compute_fabric/scheduler/queues/decay.h"

#include <cmath>

namespace oneai::fabric {

double DecayUse(double decayed, double use, absl::Duration elapsed, absl::Duration half_life) {
  if (half_life <= absl::ZeroDuration()) return 0;
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (half_life == absl::InfiniteDuration()) return decayed + use * seconds;
  const double h = absl::ToDoubleSeconds(half_life);
  const double forgotten = -std::expm1(-seconds / h * M_LN2);  // 1 - 2^(-d/h), exact for small d
  return decayed * (1 - forgotten) + use * h / M_LN2 * forgotten;
}

double AverageUse(double decayed, absl::Duration half_life) {
  if (half_life <= absl::ZeroDuration() || half_life == absl::InfiniteDuration()) return 0;
  return decayed * M_LN2 / absl::ToDoubleSeconds(half_life);
}

}  // namespace oneai::fabric
