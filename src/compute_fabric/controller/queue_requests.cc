#include "compute_fabric/controller/queue_requests.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/jobs/job_spec.h"

namespace oneai::fabric {
namespace {

absl::Status Validate(const v1::Queue& queue) {
  RETURN_IF_ERROR(ValidateProject(queue.project()));
  if (queue.cpu_milli_limit() < 0 || queue.memory_bytes_limit() < 0) {
    return absl::InvalidArgumentError(
        "cpu_milli_limit and memory_bytes_limit must be at least 0 (0: without limit)");
  }
  if (queue.device_limit_size() > 64)
    return absl::InvalidArgumentError("device_limit: at most 64 kinds");
  for (const auto& [kind, limit] : queue.device_limit()) {
    RETURN_IF_ERROR(ValidateName("device_limit", kind));
    if (limit < 0)
      return absl::InvalidArgumentError(
          absl::StrCat("device_limit.", kind, ": must be at least 0 (0: without limit)"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<v1::Queue> ListQueuesFor(const FabricState& state, const Identity& caller) {
  std::vector<v1::Queue> visible;
  for (v1::Queue& queue : QueuesWithUse(state.queues().All(), state.jobs().All())) {
    if (CheckPermission(caller, Permission::kViewFabric, BusinessUnitOf(queue.project())).ok()) {
      visible.push_back(std::move(queue));
    }
  }
  return visible;
}

absl::StatusOr<v1::Queue> SetQueue(FabricState& state, const ControllerHooks& hooks,
                                   const v1::Queue& queue, const Identity& caller) {
  RETURN_IF_ERROR(Validate(queue));
  // A limit protects the other units: those that it limits may not raise it.
  absl::Status outcome = CheckPermission(caller, Permission::kManageQueues, kEveryUnit);
  if (outcome.ok()) {
    outcome =
        state
            .UpdateQueue(queue.project(),
                         [&](v1::Queue& copy, EventDrafts& events) {
                           copy.Clear();
                           copy.set_project(queue.project());
                           copy.set_cpu_milli_limit(queue.cpu_milli_limit());
                           copy.set_memory_bytes_limit(queue.memory_bytes_limit());
                           *copy.mutable_device_limit() = queue.device_limit();
                           events.push_back(
                               {"queue.changed", queue.project(),
                                absl::StrCat("limits set by ", caller.principal.name()), "info"});
                           return true;
                         })
            .status();
  }
  if (hooks.audit) {
    hooks.audit({caller, "queue.set", absl::StrCat("queue/", queue.project()), outcome.ok(),
                 std::string(outcome.message())});
  }
  RETURN_IF_ERROR(outcome);
  for (v1::Queue& after : ListQueuesFor(state, caller)) {
    if (after.project() == queue.project()) return std::move(after);
  }
  return queue;
}

}  // namespace oneai::fabric
