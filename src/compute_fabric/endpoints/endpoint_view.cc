#include "compute_fabric/endpoints/endpoint_view.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "compute_fabric/endpoints/replica_count.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

constexpr int kReplicasMax = 1024;

absl::Status InRange(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is out of range ", min, "..",
                                                 max, "; the nearest valid value is ",
                                                 std::clamp(value, min, max)));
}

absl::Status ValidateReplicas(const v1::EndpointSpec& spec) {
  if (!IsScaled(spec)) {
    RETURN_IF_ERROR(InRange("replicas_max", spec.replicas_max(), 0, kReplicasMax));
    if (spec.replicas_min() != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("replicas_min: ", spec.replicas_min(),
                       " is for endpoints that are scaled and replicas_max is 0; the nearest valid "
                       "value is 0, or replicas_max ",
                       std::clamp(spec.replicas_min(), 1, kReplicasMax)));
    }
    return InRange("replicas", spec.replicas(), 1, kReplicasMax);
  }
  RETURN_IF_ERROR(InRange("replicas_max", spec.replicas_max(), 1, kReplicasMax));
  RETURN_IF_ERROR(InRange("replicas_min", spec.replicas_min(), 1, spec.replicas_max()));
  if (spec.replicas() == 0) return absl::OkStatus();
  return InRange("replicas", spec.replicas(), spec.replicas_min(), spec.replicas_max());
}

absl::Status ValidateScaling(const v1::EndpointSpec& spec) {
  RETURN_IF_ERROR(ValidateReplicas(spec));
  if (!v1::LatencyClass_IsValid(spec.latency_class()))
    return absl::InvalidArgumentError("latency_class: must be INTERACTIVE, STANDARD or BATCH");
  const double target = spec.target_in_flight();
  if (target == 0 || (target >= 0.1 && target <= 4096)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("target_in_flight: must be 0.1 to 4096; the nearest valid value is ",
                   target > 4096 ? "4096" : "0 (the default)"));
}

v1::EndpointState StateOf(const v1::Endpoint& endpoint, const v1::Job* job, int num_ready) {
  if (endpoint.state() == v1::DELETING) return v1::DELETING;
  if (num_ready >= endpoint.replicas_wanted()) return v1::SERVING;
  if (num_ready > 0) return v1::DEGRADED;
  const bool coming = job != nullptr && !IsFinished(job->state()) && job->num_restarts() == 0;
  return coming ? v1::DEPLOYING : v1::UNAVAILABLE;
}

absl::Status OneOf(const char* name, const std::string& value,
                   std::initializer_list<const char*> allowed) {
  if (value.empty()) return absl::OkStatus();
  for (const char* word : allowed) {
    if (value == word) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": \"", value, "\" is none of ", absl::StrJoin(allowed, ", ")));
}

absl::Status ValidateServing(const v1::EndpointSpec& spec) {
  RETURN_IF_ERROR(OneOf("quantize", spec.quantize(), {"none", "int8", "int4"}));
  RETURN_IF_ERROR(OneOf("kv_cache", spec.kv_cache(), {"auto", "bf16", "int8", "f32"}));
  RETURN_IF_ERROR(OneOf("task", spec.task(), {"auto", "generate", "embed", "rerank", "classify"}));
  RETURN_IF_ERROR(
      OneOf("speculation", spec.speculation(), {"auto", "off", "prompt_lookup", "mtp", "draft"}));
  if ((spec.speculation() == "draft") == spec.draft_model().empty()) {
    return absl::InvalidArgumentError(
        "draft_model: speculation \"draft\" and a draft model belong together");
  }
  std::set<std::string> names;
  for (const v1::EndpointAdapter& adapter : spec.adapters()) {
    RETURN_IF_ERROR(ValidateName("adapters.name", adapter.name()));
    if (!names.insert(adapter.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("adapters: the name ", adapter.name(), " is given twice"));
    }
  }
  return absl::OkStatus();
}

// A replica that does not stay up says why in its log; empty when none has ended.
std::string WhatEndedLast(const v1::Job& job) {
  for (const v1::Task& task : job.tasks()) {
    if (task.state() != v1::TASK_EXITED) continue;
    const std::string how = task.signal() != 0 ? absl::StrCat("by signal ", task.signal())
                                               : absl::StrCat("with status ", task.exit_code());
    return absl::StrCat("replica ", task.rank(), " ended ", how, " and is started again (",
                        std::max(job.num_restarts(), task.restarts()),
                        " restarts); `oneai job logs ", job.id(), "` shows what it said");
  }
  return "";
}

}  // namespace

absl::Status ValidateEndpointSpec(const v1::EndpointSpec& spec) {
  RETURN_IF_ERROR(ValidateName("name", spec.name()));
  RETURN_IF_ERROR(ValidateProject(spec.project()));
  if (spec.model().empty() || spec.model().size() > 512) {
    return absl::InvalidArgumentError(
        "model: name a model, for example retail/shakespeare or retail/shakespeare@2");
  }
  RETURN_IF_ERROR(ValidateScaling(spec));
  RETURN_IF_ERROR(ValidateResources(spec.resources()));
  RETURN_IF_ERROR(InRange("max_context_tokens", spec.max_context_tokens(), 0, 1 << 20));
  RETURN_IF_ERROR(InRange("max_running_sequences", spec.max_running_sequences(), 0, 4096));
  RETURN_IF_ERROR(InRange("kv_cache_bytes", spec.kv_cache_bytes(), 0, int64_t{1} << 50));
  if (!spec.dtype().empty() && spec.dtype() != "bf16" && spec.dtype() != "f32") {
    return absl::InvalidArgumentError("dtype: must be bf16 (the default) or f32");
  }
  return ValidateServing(spec);
}

v1::JobSpec ServeJobSpec(const v1::EndpointSpec& spec, const ServedModels& models,
                         int num_replicas) {
  v1::JobSpec job;
  job.set_name(spec.name());
  job.set_project(spec.project());
  job.set_kind("serve");
  job.set_num_tasks(num_replicas);
  *job.mutable_resources() = spec.resources();
  job.mutable_resources()->set_num_ports(1);
  job.set_spread(v1::SPREAD_RACK);
  job.set_long_running(true);
  job.mutable_restart()->set_max_restarts(-1);
  (*job.mutable_labels())[kEndpointLabel] = spec.name();
  nlohmann::ordered_json config = {{"model_dir", models.model.dir},
                                   {"model_name", spec.name()},
                                   {"model_version", models.model.name_at_version}};
  if (!spec.dtype().empty()) config["dtype"] = spec.dtype();
  if (spec.max_context_tokens() > 0) config["max_context_tokens"] = spec.max_context_tokens();
  if (spec.max_running_sequences() > 0)
    config["max_running_sequences"] = spec.max_running_sequences();
  if (spec.kv_cache_bytes() > 0) config["kv_cache_bytes"] = spec.kv_cache_bytes();
  if (!spec.quantize().empty()) config["quantize"] = spec.quantize();
  if (!spec.kv_cache().empty()) config["kv_cache"] = spec.kv_cache();
  if (!spec.task().empty()) config["task"] = spec.task();
  if (!spec.speculation().empty()) config["speculation"] = spec.speculation();
  if (models.draft.has_value()) config["draft_model_dir"] = models.draft->dir;
  for (const auto& [name, adapter] : models.adapters) config["adapters"][name] = adapter.dir;
  job.set_config_json(config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return job;
}

v1::Endpoint DescribeEndpoint(const v1::Endpoint& endpoint, const v1::Job* job,
                              const VersionedTable<v1::Node>& nodes) {
  v1::Endpoint described = endpoint;
  described.clear_replicas();
  described.set_message("");
  described.set_replicas_wanted(job == nullptr ? ReplicasToStartWith(endpoint.spec(), 0)
                                               : ReplicasWanted(*job));
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
    if (num_ready < described.replicas_wanted()) {
      described.set_message(job->reasons().empty() ? WhatEndedLast(*job)
                                                   : absl::StrJoin(job->reasons(), "; "));
    }
  }
  described.set_state(StateOf(described, job, num_ready));
  return described;
}

}  // namespace oneai::fabric
