// File: compute_fabric/endpoints/endpoint_view.h
//
// An endpoint as people and gateways see it, and as a job: pure functions.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "oneai/fabric/v1/endpoint.pb.h"

namespace oneai::fabric {

// What an endpoint serves, each found in the registry.
struct ServedModels {
  ResolvedModel model;
  std::optional<ResolvedModel> draft;
  std::vector<std::pair<std::string, ResolvedModel>> adapters;  // by the name that callers use
};

// InvalidArgument: names the field and the nearest valid value.
absl::Status ValidateEndpointSpec(const v1::EndpointSpec& spec);

// The job of kind "serve" whose tasks are the endpoint's replicas: restarts without limit, spread
// over racks and then nodes, one port each, settings of oneai-serve as config_json. Its devices are
// those of the spec.
v1::JobSpec ServeJobSpec(const v1::EndpointSpec& spec, const ServedModels& models,
                         int num_replicas);

// The stored endpoint with state, replicas, their wanted number and message derived from its job
// (null: none) and the nodes.
v1::Endpoint DescribeEndpoint(const v1::Endpoint& endpoint, const v1::Job* job,
                              const VersionedTable<v1::Node>& nodes);

}  // namespace oneai::fabric
