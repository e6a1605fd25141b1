#include "compute_fabric/scheduler/plan.h"

#include "compute_fabric/scheduler/pass.h"

namespace oneai::fabric {

PlanResult Plan(SchedulerState& state, const Policy& policy, absl::Time now) {
  state.cluster.Keep();
  state.cluster.SetOrderSeed(policy.seed);
  state.queues.Decay(now, policy.usage_half_life);
  state.candidates.Follow(state.jobs, policy);
  state.kind_prices =
      policy.throughput_aware ? PricesOfKinds(state.cluster, state.jobs) : KindPrices();
  PlanResult result = Pass(state, policy, now).Run();
  state.cluster.Keep();
  return result;
}

}  // namespace oneai::fabric
