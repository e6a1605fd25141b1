#include "compute_fabric/endpoints/replica_count.h"

#include <algorithm>

#include "compute_fabric/controller/node_drain.h"
#include "compute_fabric/jobs/job_lifecycle.h"

namespace oneai::fabric {
namespace {

constexpr double kTargetDefault = 8;

}  // namespace

bool IsScaled(const v1::EndpointSpec& spec) { return spec.replicas_max() > 0; }

ScaleSpec ScaleSpecOf(const v1::EndpointSpec& spec) {
  ScaleSpec scale{.replicas_min = spec.replicas_min(), .replicas_max = spec.replicas_max()};
  if (spec.target_in_flight() > 0) {
    scale.target_in_flight = spec.target_in_flight();
  } else if (spec.max_running_sequences() > 0) {
    scale.target_in_flight = std::max(1.0, spec.max_running_sequences() / 2.0);
  } else {
    scale.target_in_flight = kTargetDefault;
  }
  return scale;
}

int ReplicasToStartWith(const v1::EndpointSpec& spec, int before) {
  if (!IsScaled(spec)) return spec.replicas();
  if (before > 0) return std::clamp(before, spec.replicas_min(), spec.replicas_max());
  return spec.replicas() > 0 ? spec.replicas() : spec.replicas_min();
}

bool HasSurge(const v1::Job& job) { return job.spec().labels().contains(kDrainSurgeLabel); }

int ReplicasWanted(const v1::Job& job) {
  return std::max(1, job.spec().num_tasks() - (HasSurge(job) ? 1 : 0));
}

bool SetReplicasWanted(v1::Job& job, int replicas) {
  return ApplyScale(job, replicas + (HasSurge(job) ? 1 : 0));
}

}  // namespace oneai::fabric
