#include "compute_fabric/endpoints/endpoint_view.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

absl::Status InRange(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is out of range ", min, "..",
                                                 max, "; the nearest valid value is ",
                                                 std::clamp(value, min, max)));
}

v1::EndpointState StateOf(const v1::Endpoint& endpoint, const v1::Job* job, int num_ready) {
  if (endpoint.state() == v1::DELETING) return v1::DELETING;
  if (num_ready >= endpoint.spec().replicas()) return v1::SERVING;
  if (num_ready > 0) return v1::DEGRADED;
  const bool coming = job != nullptr && !IsFinished(job->state()) && job->num_restarts() == 0;
  return coming ? v1::DEPLOYING : v1::UNAVAILABLE;
}

}  // namespace

absl::Status ValidateEndpointSpec(const v1::EndpointSpec& spec) {
  RETURN_IF_ERROR(ValidateName("name", spec.name()));
  RETURN_IF_ERROR(ValidateProject(spec.project()));
  if (spec.model().empty() || spec.model().size() > 512) {
    return absl::InvalidArgumentError(
        "model: name a model, for example retail/shakespeare or retail/shakespeare@2");
  }
  RETURN_IF_ERROR(InRange("replicas", spec.replicas(), 1, 1024));
  RETURN_IF_ERROR(ValidateResources(spec.resources()));
  RETURN_IF_ERROR(InRange("max_context_tokens", spec.max_context_tokens(), 0, 1 << 20));
  RETURN_IF_ERROR(InRange("max_running_sequences", spec.max_running_sequences(), 0, 4096));
  RETURN_IF_ERROR(InRange("kv_cache_bytes", spec.kv_cache_bytes(), 0, int64_t{1} << 50));
  if (!spec.dtype().empty() && spec.dtype() != "bf16" && spec.dtype() != "f32") {
    return absl::InvalidArgumentError("dtype: must be bf16 (the default) or f32");
  }
  return absl::OkStatus();
}

v1::JobSpec ServeJobSpec(const v1::EndpointSpec& spec, const ResolvedModel& model) {
  v1::JobSpec job;
  job.set_name(spec.name());
  job.set_project(spec.project());
  job.set_kind("serve");
  job.set_num_tasks(spec.replicas());
  *job.mutable_resources() = spec.resources();
  job.mutable_resources()->set_num_ports(1);
  job.set_spread(v1::NODE);
  job.set_long_running(true);
  job.mutable_restart()->set_max_restarts(-1);
  (*job.mutable_labels())[kEndpointLabel] = spec.name();
  nlohmann::ordered_json config = {{"model_dir", model.dir},
                                   {"model_name", spec.name()},
                                   {"model_version", model.name_at_version}};
  if (!spec.dtype().empty()) config["dtype"] = spec.dtype();
  if (spec.max_context_tokens() > 0) config["max_context_tokens"] = spec.max_context_tokens();
  if (spec.max_running_sequences() > 0)
    config["max_running_sequences"] = spec.max_running_sequences();
  if (spec.kv_cache_bytes() > 0) config["kv_cache_bytes"] = spec.kv_cache_bytes();
  job.set_config_json(config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return job;
}

v1::Endpoint DescribeEndpoint(const v1::Endpoint& endpoint, const v1::Job* job,
                              const VersionedTable<v1::Node>& nodes) {
  v1::Endpoint described = endpoint;
  described.clear_replicas();
  described.set_message("");
  int num_ready = 0;
  if (job != nullptr) {
    for (const v1::Task& task : job->tasks()) {
      if (!IsActive(task.state())) continue;
      v1::Replica* replica = described.add_replicas();
      replica->set_index(task.rank());
      replica->set_node(task.node());
      if (task.ports_size() > 0)
        replica->set_address(absl::StrCat(task.address(), ":", task.ports(0)));
      replica->set_device(task.device().kind());
      // A node that is not heard may still run it, but nobody should be sent there.
      const Record<v1::Node> node = nodes.Find(task.node());
      replica->set_ready(task.ready() && node.value != nullptr && node.value->state() != v1::LOST);
      num_ready += replica->ready() ? 1 : 0;
    }
    if (num_ready < endpoint.spec().replicas())
      described.set_message(absl::StrJoin(job->reasons(), "; "));
  }
  described.set_state(StateOf(endpoint, job, num_ready));
  return described;
}

}  // namespace oneai::fabric
