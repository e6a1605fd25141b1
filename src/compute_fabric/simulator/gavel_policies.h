// File: compute_fabric/simulator/gavel_policies.h
//
// Who runs where in the next round: the policies of Gavel's evaluation, and ours.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/simulator/gavel_trace.h"

namespace oneai::fabric {

enum class GavelPolicy {
  kFifo,        // in order of arrival, on whatever kind has most idle GPUs; runs to its end
  kFifoAware,   // the same on the fastest idle kind
  kLas,         // max-min fair in time, blind to kinds (Gavel's baseline)
  kMaxMin,      // max-min fair in normalised throughput (Gavel), by AllocateMaxMin
  kOneai,       // least attained service first, on kinds by price; knows no run times
  kOneaiShort,  // shortest remaining work first, on kinds by price; knows the steps to do
};
const std::vector<GavelPolicy>& AllGavelPolicies();
absl::string_view GavelPolicyName(GavelPolicy policy);
// InvalidArgument: no such policy; the message lists them.
absl::StatusOr<GavelPolicy> ParseGavelPolicy(absl::string_view name);

inline constexpr int kNotRunning = -1;

// A job that has arrived and not ended.
struct ActiveJob {
  const GavelJob* job = nullptr;
  double steps_left = 0;
  int kind = kNotRunning;         // where it ran in the last round
  double attained_gpu_s = 0;      // time on its GPUs, at the speed of its fastest kind
  std::vector<double> rounds_on;  // by kind, since the set of jobs last changed
};

// One policy at work on one cluster. Keeps what it has computed from round to round.
class GavelScheduler {
 public:
  virtual ~GavelScheduler() = default;
  // The kind that each job runs on in the coming round, or kNotRunning; no kind gets more GPUs'
  // worth of jobs than it has. `changed`: jobs have come or gone since the last round.
  virtual std::vector<int> Assign(const std::vector<ActiveJob>& jobs, bool changed) = 0;
};
std::unique_ptr<GavelScheduler> MakeGavelScheduler(GavelPolicy policy, std::vector<double> workers);

}  // namespace oneai::fabric
