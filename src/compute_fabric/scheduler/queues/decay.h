// File: compute_fabric/scheduler/queues/decay.h
//
// Past use, half of which is forgotten every half-life h (Slurm's fair tree, KAI, Kueue admission
// fair sharing):
//
//   U(t + d) = U(t) 2^(-d/h) + use h/ln2 (1 - 2^(-d/h))        for constant `use` during d
//
// in resource-seconds. Use u for ever gives U = u h/ln2, so U ln2/h is average use.
#pragma once

#include "absl/time/time.h"

namespace oneai::fabric {

// U after `elapsed` of constant `use`. Half-life 0: everything is forgotten at once; infinite:
// nothing ever is.
double DecayUse(double decayed, double use, absl::Duration elapsed, absl::Duration half_life);
// U ln2/h. Half-life 0 or infinite: 0, the past does not count.
double AverageUse(double decayed, absl::Duration half_life);

}  // namespace oneai::fabric
