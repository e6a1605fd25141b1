// File: compute_fabric/endpoints/replica_count.h
//
// How many replicas an endpoint's records ask for: pure functions of its spec and its job. While a
// node drains the job has one more than wanted (controller/node_drain.h); that one is not counted.
#pragma once

#include "compute_fabric/endpoints/replica_scaling.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Whether load decides between replicas_min and replicas_max; else there are spec.replicas.
bool IsScaled(const v1::EndpointSpec& spec);
// Precondition: IsScaled(spec).
ScaleSpec ScaleSpecOf(const v1::EndpointSpec& spec);
// With which it starts. `before` (0: none) is what it has now: a scaled endpoint keeps it, within
// its bounds, for the load is what it was.
int ReplicasToStartWith(const v1::EndpointSpec& spec, int before);

bool HasSurge(const v1::Job& job);
int ReplicasWanted(const v1::Job& job);
// Returns whether `job` changed. Call Advance afterwards.
bool SetReplicasWanted(v1::Job& job, int replicas);

}  // namespace oneai::fabric
