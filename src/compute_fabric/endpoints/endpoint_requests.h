// File: compute_fabric/endpoints/endpoint_requests.h
//
// What people ask of endpoints: deploy, scale, delete, look. Each change is one transaction; the
// schedule loop makes the jobs follow.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/endpoints/adapter_rollout.h"
#include "compute_fabric/endpoints/device_choice.h"
#include "compute_fabric/endpoints/endpoint_scaler.h"
#include "compute_fabric/endpoints/endpoint_view.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class EndpointRequests {
 public:
  // `scaler` says why endpoints have as many replicas as they have; null: nothing is said.
  // `rollout` null: adapters are what an endpoint was deployed with.
  EndpointRequests(FabricState* state, JobRequests* jobs, const ControllerHooks* hooks,
                   const EndpointScaler* scaler = nullptr, LatencyClassOfKind measured = {},
                   AdapterRollout* rollout = nullptr)
      : state_(state),
        jobs_(jobs),
        hooks_(hooks),
        scaler_(scaler),
        measured_(std::move(measured)),
        rollout_(rollout) {}

  // See EndpointService.DeployEndpoint. Without devices of its own it gets those that meet its
  // latency class (device_choice.h). An endpoint of that name is changed: if only the number of
  // replicas differs, or its bounds, in place; otherwise its job is stopped and a new one placed.
  // FailedPrecondition: it is being deleted.
  absl::StatusOr<v1::Endpoint> Deploy(const v1::DeployEndpointRequest& request,
                                      const Identity& caller);
  absl::Status Delete(const std::string& name, const Identity& caller);
  // See EndpointService.ChangeAdapters. Waits for the replicas.
  absl::StatusOr<v1::Endpoint> ChangeAdapters(const v1::ChangeAdaptersRequest& request,
                                              const Identity& caller);

  absl::StatusOr<v1::Endpoint> Get(const std::string& name, const Identity& caller) const;
  // Those that the caller may see, by name.
  v1::ListEndpointsResponse List(const Identity& caller) const;

 private:
  absl::StatusOr<v1::Endpoint> DeployChecked(const v1::DeployEndpointRequest& request,
                                             const Identity& caller);
  absl::StatusOr<v1::Endpoint> Scale(const v1::EndpointSpec& spec, const v1::Endpoint& before,
                                     const v1::Job& job);
  absl::StatusOr<v1::Endpoint> ChangeAdaptersChecked(const v1::ChangeAdaptersRequest& request,
                                                     const v1::Endpoint& before,
                                                     const Identity& caller);
  absl::StatusOr<v1::Endpoint> WriteAdapters(const v1::ChangeAdaptersRequest& request,
                                             const v1::Endpoint& before,
                                             const std::vector<AdapterFolder>& added);
  // InvalidArgument: the most replicas that the endpoint may have can never run.
  absl::Status CheckMost(v1::JobSpec job, const v1::EndpointSpec& spec) const;
  // Finds all the models that the spec names. Errors name the field.
  absl::StatusOr<ServedModels> Resolve(const v1::EndpointSpec& spec, const Identity& caller) const;
  // The job of the endpoint, with its devices chosen. Errors of ChooseDevices and CheckMost.
  absl::StatusOr<v1::JobSpec> MakeJobSpec(const v1::EndpointSpec& spec, const ServedModels& models,
                                          int num_replicas) const;
  absl::Status CheckDeployRight(const std::string& name, const std::string& project,
                                const Identity& caller) const;
  v1::Endpoint Describe(const v1::Endpoint& endpoint) const;

  FabricState* const state_;
  JobRequests* const jobs_;
  const ControllerHooks* const hooks_;
  const EndpointScaler* const scaler_;
  const LatencyClassOfKind measured_;
  AdapterRollout* const rollout_;
};

}  // namespace oneai::fabric
