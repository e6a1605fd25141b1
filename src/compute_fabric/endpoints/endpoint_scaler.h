// File: compute_fabric/endpoints/endpoint_scaler.h
//
// The shell around replica_scaling: what gateways report, and the changes that follow.
//
//   gateways report -> add up what is fresh -> DecideReplicas -> ApplyScale, in one transaction
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/endpoints/replica_scaling.h"
#include "oneai/fabric/v1/endpoint.pb.h"

namespace oneai::fabric {

// Thread-safe; Step() from one thread. `state` must outlive it. All in memory: a new controller
// hears the gateways within a second and takes no replica away before a whole window has passed.
class EndpointScaler {
 public:
  // Gateways report once a second. One that is silent for longer has died, or is cut off.
  static constexpr absl::Duration kReportLife = absl::Seconds(10);

  explicit EndpointScaler(FabricState* state) : state_(state) {}

  // Replaces what this gateway said before. InvalidArgument: a bad name or number, too many.
  absl::Status TakeLoads(const v1::ReportUsageRequest& report);

  // Decides for every scaled endpoint, at most once a second, and applies it.
  absl::Status Step(absl::Time now);

  // Why the endpoint has as many replicas as it has; empty: not scaled, or not looked at yet.
  std::string ReasonOf(const std::string& endpoint) const;

 private:
  struct Report {
    absl::Time when;
    std::map<std::string, EndpointLoadSum> loads;  // by endpoint
  };
  struct Scaled {
    ScaleHistory history;
    std::string reason;
  };
  std::optional<EndpointLoadSum> LoadOf(const std::string& endpoint) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetSilent(absl::Time now);
  ScaleDecision Decide(const v1::Endpoint& endpoint, const v1::Job& job, absl::Time now);
  absl::Status Apply(const v1::Endpoint& endpoint, const ScaleDecision& decision, int wanted_before,
                     absl::Time now);

  FabricState* const state_;
  absl::Time last_step_ = absl::InfinitePast();
  mutable absl::Mutex mu_;
  std::map<std::string, Report> reports_ ABSL_GUARDED_BY(mu_);  // by gateway
  std::map<std::string, Scaled> scaled_ ABSL_GUARDED_BY(mu_);   // by endpoint
};

}  // namespace oneai::fabric
