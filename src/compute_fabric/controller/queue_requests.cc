#include "compute_fabric/controller/queue_requests.h"

#include <map>
#include <set>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/jobs/field_checks.h"
#include "compute_fabric/jobs/job_spec.h"

namespace oneai::fabric {
namespace {

constexpr int kQueuesMax = 10'000;
constexpr int kKindsMax = 64;

absl::Status ValidatePath(absl::string_view path) {
  if (path.empty())
    return Wrong("project", "is empty; name a queue, for example retail or retail/nlp");
  while (!path.empty()) {
    const size_t slash = path.find('/');
    RETURN_IF_ERROR(ValidateName("project", path.substr(0, slash)));
    if (slash == absl::string_view::npos) break;
    path = path.substr(slash + 1);
    if (path.empty()) return Wrong("project", "ends with '/'; leave it out");
  }
  return absl::OkStatus();
}

template <typename Map>
absl::Status ValidateAmounts(absl::string_view field, const Map& amounts) {
  RETURN_IF_ERROR(InRange(field, amounts.size(), 0, kKindsMax));
  for (const auto& [resource, amount] : amounts) {
    RETURN_IF_ERROR(ValidateName(field, resource));
    if (amount < 0)
      return Wrong(absl::StrCat(field, ".", resource),
                   absl::StrCat(amount, " is negative; the nearest valid value is 0"));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::Queue& queue) {
  RETURN_IF_ERROR(ValidatePath(queue.project()));
  if (queue.cpu_milli_limit() < 0 || queue.memory_bytes_limit() < 0) {
    return absl::InvalidArgumentError(
        "cpu_milli_limit and memory_bytes_limit must be at least 0 (0: without limit)");
  }
  RETURN_IF_ERROR(ValidateAmounts("device_limit", queue.device_limit()));
  RETURN_IF_ERROR(ValidateAmounts("nominal", queue.nominal()));
  RETURN_IF_ERROR(ValidateAmounts("borrowing_limit", queue.borrowing_limit()));
  RETURN_IF_ERROR(ValidateAmounts("lending_limit", queue.lending_limit()));
  return ValidateAmounts("limit", queue.limit());
}

// What is stored: what an administrator says, without use.
v1::Queue Written(const v1::Queue& queue) {
  v1::Queue written;
  written.set_project(queue.project());
  written.set_cpu_milli_limit(queue.cpu_milli_limit());
  written.set_memory_bytes_limit(queue.memory_bytes_limit());
  *written.mutable_device_limit() = queue.device_limit();
  *written.mutable_nominal() = queue.nominal();
  *written.mutable_borrowing_limit() = queue.borrowing_limit();
  *written.mutable_lending_limit() = queue.lending_limit();
  *written.mutable_limit() = queue.limit();
  written.set_weight(queue.weight());
  written.set_reserve(queue.reserve());
  written.set_sandbox(queue.sandbox());
  return written;
}

bool Contains(const std::string& above, const std::string& path) {
  return path.size() > above.size() && absl::StartsWith(path, above) && path[above.size()] == '/';
}

// The tree must add up as a whole, so a change is written only if no queue has changed since it was
// checked; then it is checked again. No lock is held while it is written.
absl::Status UntilUnchanged(absl::FunctionRef<absl::Status()> attempt) {
  constexpr int kAttempts = 10;
  absl::Status status;
  for (int i = 0; i < kAttempts; ++i) {
    status = attempt();
    if (!absl::IsAborted(status)) return status;
  }
  return absl::AbortedError("the queues are being changed by others; look and retry");
}

}  // namespace

void QueueRequests::Audit(const Identity& caller, const std::string& action,
                          const std::string& path, const absl::Status& outcome) const {
  if (!hooks_->audit) return;
  hooks_->audit({caller, action, absl::StrCat("queue/", path.substr(0, kNameLengthMax)),
                 outcome.ok(), std::string(outcome.message())});
}

// A limit protects the other units: those that it limits may not raise it.
absl::Status QueueRequests::Authorize(const Identity& caller, const std::string& action,
                                      const std::string& path) const {
  const absl::Status allowed = CheckPermission(caller, Permission::kManageQueues, kEveryUnit);
  if (!allowed.ok()) Audit(caller, action, path, allowed);
  return allowed;
}

std::vector<v1::Queue> QueueRequests::List(const Identity& caller) const {
  const absl::Time now = state_->Now();
  std::vector<Record<v1::Queue>> queues = state_->queues().All();
  for (const QueueSpec& spec : schedule_->Queues(now)) {
    if (!spec.sandbox || state_->queues().Find(spec.path).value != nullptr) continue;
    auto sandbox = std::make_shared<v1::Queue>();
    sandbox->set_project(spec.path);
    sandbox->set_sandbox(true);
    for (const auto& [resource, amount] : spec.nominal)
      (*sandbox->mutable_nominal())[resource] = amount;
    queues.push_back({std::move(sandbox), 0});
  }
  std::vector<v1::Queue> visible;
  for (v1::Queue& queue :
       QueuesWithUse(queues, state_->FindJobs(state_->job_index().Unfinished()))) {
    if (!CheckPermission(caller, Permission::kViewFabric, BusinessUnitOf(queue.project())).ok())
      continue;
    const QueueStanding standing = schedule_->StandingOf(queue.project(), now);
    queue.set_dominant_share(standing.dominant_share);
    queue.mutable_decayed_use()->insert(standing.decayed_use.begin(), standing.decayed_use.end());
    visible.push_back(std::move(queue));
  }
  return visible;
}

absl::Status QueueRequests::Commit(const std::vector<v1::Queue>& queues, const Identity& caller) {
  if (queues.empty()) return Wrong("queues", "is empty; give at least one");
  const int64_t revision = state_->queues_revision();  // before the queues
  std::map<std::string, v1::Queue> tree;
  for (const Record<v1::Queue>& known : state_->queues().All())
    tree[known.value->project()] = *known.value;
  std::map<std::string, const v1::Queue*> changed;
  for (const v1::Queue& queue : queues) {
    RETURN_IF_ERROR(Validate(queue));
    tree[queue.project()] = Written(queue);
    if (!changed.emplace(queue.project(), &tree[queue.project()]).second)
      return Wrong("queues", absl::StrCat(queue.project(), " is given twice"));
  }
  RETURN_IF_ERROR(InRange("queues", static_cast<int64_t>(tree.size()), 0, kQueuesMax));
  std::vector<QueueSpec> specs;
  for (const auto& [path, queue] : tree) specs.push_back(MakeQueueSpec(queue));
  RETURN_IF_ERROR(QueueTree::Validate(specs));
  EventDrafts events;
  for (const auto& [path, queue] : changed) {
    events.push_back(
        {"queue.changed", path, absl::StrCat("set by ", caller.principal.name()), "info"});
  }
  return state_->CommitQueues(changed, events, revision);
}

absl::StatusOr<v1::Queue> QueueRequests::Set(const v1::Queue& queue, const Identity& caller) {
  RETURN_IF_ERROR(Authorize(caller, "queue.set", queue.project()));
  const absl::Status outcome = UntilUnchanged([&] { return Commit({queue}, caller); });
  Audit(caller, "queue.set", queue.project(), outcome);
  RETURN_IF_ERROR(outcome);
  for (v1::Queue& after : List(caller)) {
    if (after.project() == queue.project()) return std::move(after);
  }
  return Written(queue);
}

absl::StatusOr<v1::ListQueuesResponse> QueueRequests::SetAll(const std::vector<v1::Queue>& queues,
                                                             const Identity& caller) {
  RETURN_IF_ERROR(Authorize(caller, "queue.set", "*"));
  const absl::Status outcome = UntilUnchanged([&] { return Commit(queues, caller); });
  for (const v1::Queue& queue : queues) Audit(caller, "queue.set", queue.project(), outcome);
  RETURN_IF_ERROR(outcome);
  v1::ListQueuesResponse response;
  for (v1::Queue& queue : List(caller)) *response.add_queues() = std::move(queue);
  return response;
}

absl::Status QueueRequests::CommitDelete(const std::string& path, const Identity& caller) {
  const int64_t revision = state_->queues_revision();  // before the queues
  if (state_->queues().Find(path).value == nullptr) {
    return absl::NotFoundError(absl::StrCat("no queue ", path.substr(0, kNameLengthMax),
                                            "; `oneai queue list` shows what there is"));
  }
  std::vector<QueueSpec> specs;
  for (const Record<v1::Queue>& queue : state_->queues().All()) {
    if (queue.value->project() == path) continue;
    specs.push_back(MakeQueueSpec(*queue.value));
    if (Contains(path, specs.back().path)) {
      return absl::FailedPreconditionError(
          absl::StrCat("queue ", path, " has the child ", specs.back().path, "; delete it first"));
    }
  }
  for (const JobRecord& job : state_->FindJobs(state_->job_index().Unfinished())) {
    const std::string& queue = QueueOf(job.value->spec());
    if (queue != path && !Contains(path, queue)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("queue ", path, " has jobs that have not ended, the first is ",
                     job.value->id(), "; cancel them or wait"));
  }
  RETURN_IF_ERROR(QueueTree::Validate(specs));
  return state_->CommitQueues(
      {{path, nullptr}},
      {{"queue.deleted", path, absl::StrCat("by ", caller.principal.name()), "info"}}, revision);
}

absl::Status QueueRequests::Delete(const std::string& path, const Identity& caller) {
  RETURN_IF_ERROR(Authorize(caller, "queue.delete", path));
  const absl::Status outcome = UntilUnchanged([&] { return CommitDelete(path, caller); });
  Audit(caller, "queue.delete", path, outcome);
  return outcome;
}

}  // namespace oneai::fabric
