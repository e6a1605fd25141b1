#include "compute_fabric/controller/node_sessions.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/node_health.h"
#include "compute_fabric/controller/task_assignment.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

constexpr size_t kSupersededMax = 16;
constexpr absl::Duration kCancelPoll = absl::Milliseconds(50);
constexpr int kReportsMax = 4096;

std::string TaskKey(absl::string_view job_id, int rank, int attempt) {
  return absl::StrCat(job_id, ".", rank, ".", attempt);
}

const v1::Task* FindTask(const v1::Job& job, int rank, int attempt) {
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() == rank && task.attempt() == attempt) return &task;
  }
  return nullptr;
}

// Text from a node, fit to be stored and shown.
v1::TaskReport Cleaned(v1::TaskReport report) {
  report.set_message(Printable(report.message(), 1024));
  return report;
}

}  // namespace

absl::Status ValidateNodeInfo(const v1::NodeInfo& info) {
  RETURN_IF_ERROR(ValidateName("node.name", info.name()));
  if (info.address().empty() || info.address().size() > 256 ||
      Printable(info.address(), 256) != info.address()) {
    return absl::InvalidArgumentError(
        "node.address: must be a host name or IP address that other nodes reach");
  }
  if (info.cpu_milli() < 1 || info.memory_bytes() < 0) {
    return absl::InvalidArgumentError(
        "node.cpu_milli must be at least 1 and node.memory_bytes at least 0");
  }
  const bool no_ports = info.port_first() == 0 && info.port_last() == 0;
  if (!no_ports &&
      (info.port_first() < 1 || info.port_last() > 65535 || info.port_first() > info.port_last())) {
    return absl::InvalidArgumentError(
        absl::StrCat("node.port_first..port_last: ", info.port_first(), "..", info.port_last(),
                     " is no range within 1..65535"));
  }
  if (info.devices_size() > 1024 || info.labels_size() > 256 ||
      info.ByteSizeLong() > (256u << 10)) {
    return absl::InvalidArgumentError("node: at most 1024 devices, 256 labels and 256 KiB in all");
  }
  std::set<std::string> ids;
  for (const v1::Device& device : info.devices()) {
    RETURN_IF_ERROR(ValidateName("node.devices.id", device.id()));
    RETURN_IF_ERROR(ValidateName("node.devices.kind", device.kind()));
    if (!ids.insert(device.id()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("node.devices.id: ", device.id(), " occurs twice"));
    }
  }
  return absl::OkStatus();
}

void NodeSessions::Start() {
  absl::MutexLock lock(&mu_);
  started_ = state_->Now();
}

absl::Time NodeSessions::LastHeartbeat(const std::string& node) const {
  absl::MutexLock lock(&mu_);
  const auto session = sessions_.find(node);
  return session == sessions_.end() ? started_ : session->second.last_heartbeat;
}

void NodeSessions::ExtendLeases(absl::Duration by) {
  absl::MutexLock lock(&mu_);
  started_ += by;
  for (auto& [name, session] : sessions_) session.last_heartbeat += by;
}

absl::Status NodeSessions::Enter(const std::string& name, const std::string& incarnation) {
  absl::MutexLock lock(&mu_);
  Session& session = sessions_[name];
  if (session.incarnation != incarnation) {
    // An agent whose call is still open is alive; one that was replaced must not come back.
    if (session.num_in_flight > 0 || session.superseded.count(incarnation) > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("another agent runs as node ", name,
                       "; give this one another --name, or stop the other"));
    }
    if (!session.incarnation.empty()) session.superseded.insert(session.incarnation);
    if (session.superseded.size() > kSupersededMax)
      session.superseded.erase(session.superseded.begin());
    session.incarnation = incarnation;
  }
  ++session.num_in_flight;
  session.last_heartbeat = std::max(session.last_heartbeat, state_->Now());
  return absl::OkStatus();
}

void NodeSessions::Leave(const std::string& name) {
  absl::MutexLock lock(&mu_);
  --sessions_[name].num_in_flight;
}

absl::StatusOr<v1::HeartbeatResponse> NodeSessions::Heartbeat(const v1::HeartbeatRequest& request,
                                                              absl::FunctionRef<bool()> cancelled) {
  RETURN_IF_ERROR(Begin(request));
  WaitForWork(request, cancelled);
  return Respond(request);
}

absl::Status NodeSessions::Begin(const v1::HeartbeatRequest& request) {
  RETURN_IF_ERROR(ValidateNodeInfo(request.node()));
  if (request.incarnation().empty() || request.incarnation().size() > 128 ||
      request.tasks_size() > kReportsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("incarnation: 1 to 128 characters; tasks: at most ", kReportsMax));
  }
  RETURN_IF_ERROR(Enter(request.node().name(), request.incarnation()));
  absl::Status taken = RecordNode(request);
  if (taken.ok()) taken = ApplyReports(request);
  if (!taken.ok()) Leave(request.node().name());
  return taken;
}

bool NodeSessions::HasNews(const v1::HeartbeatRequest& request) const {
  return state_->DesiredRevision(request.node().name()) != request.seen_revision();
}

// A node must not lose its lease while it waits for us.
absl::Duration NodeSessions::WaitFor(const v1::HeartbeatRequest& request) const {
  return std::clamp(absl::Milliseconds(request.max_wait_ms()), absl::ZeroDuration(),
                    options_->lease / 3);
}

absl::StatusOr<v1::HeartbeatResponse> NodeSessions::Respond(const v1::HeartbeatRequest& request) {
  absl::StatusOr<v1::HeartbeatResponse> response = Answer(request);
  Leave(request.node().name());
  return response;
}

int NodeSessions::NumGivenUp(const v1::HeartbeatRequest& request) const {
  int given_up = 0;
  for (const v1::TaskReport& report : request.tasks()) {
    if (report.state() == v1::TASK_EXITED || report.state() == v1::TASK_LOST) continue;
    const JobRecord job = state_->jobs().Find(report.job_id());
    const v1::Task* task =
        job.value == nullptr ? nullptr : FindTask(*job.value, report.rank(), report.attempt());
    if (task == nullptr || !IsActive(task->state())) ++given_up;
  }
  return given_up;
}

absl::Status NodeSessions::RecordNode(const v1::HeartbeatRequest& request) {
  const v1::NodeInfo& info = request.node();
  // What a node still stops after it was given up holds devices that no record shows any more.
  const int num_given_up = NumGivenUp(request);
  const std::string message =
      num_given_up == 0 ? ""
                        : absl::StrCat("it still stops ", num_given_up,
                                       num_given_up == 1 ? " task that was" : " tasks that were",
                                       " given up while it was away");
  const auto node = state_->UpdateNode(info.name(), [&](v1::Node& node, EventDrafts& events) {
    const absl::Time now = state_->Now();
    const bool known = node.has_joined();
    if (!known) {
      SetTime(node.mutable_joined(), now);
      events.push_back({"node.joined", info.name(), absl::StrCat("at ", info.address()), "info"});
    } else if (node.state() == v1::LOST) {
      events.push_back({"node.returned", info.name(), "its agent is heard again", "info"});
    } else if (node.incarnation() != request.incarnation()) {
      events.push_back({"node.restarted", info.name(), "its agent has started again", "info"});
    }
    bool changed = !known || node.incarnation() != request.incarnation() ||
                   !google::protobuf::util::MessageDifferencer::Equals(node.info(), info);
    *node.mutable_info() = info;
    node.set_incarnation(request.incarnation());
    changed |= TakeChecks(node, request, health_limits_, now, events);
    changed |= SetCheck(node, kGivenUpCheck, num_given_up == 0, message, now, events);
    changed |= ApplyHealth(node, health_limits_, now, events);
    changed |= SettleState(node);
    if (changed) SetTime(node.mutable_last_heartbeat(), now);
    return changed;
  });
  return node.status();
}

absl::Status NodeSessions::ApplyReports(const v1::HeartbeatRequest& request) {
  const std::string& name = request.node().name();
  std::map<std::string, std::vector<v1::TaskReport>> by_job;
  std::set<std::string> reported;
  for (const v1::TaskReport& report : request.tasks()) {
    by_job[report.job_id()].push_back(Cleaned(report));
    reported.insert(TaskKey(report.job_id(), report.rank(), report.attempt()));
  }
  std::vector<std::string> ids = state_->job_index().OnNode(name);
  for (const auto& [id, reports] : by_job) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const std::vector<JobRecord> jobs = state_->FindJobs(ids);
  // Only an agent that has seen the present desired tasks can be believed when it does not name
  // one. Read after the jobs.
  const bool up_to_date = request.seen_revision() >= state_->DesiredRevision(name);
  for (const JobRecord& record : jobs) {
    if (IsFinished(record.value->state())) continue;
    const std::string& id = record.value->id();
    const auto reports = by_job.find(id);
    std::vector<int> unknown;
    for (const v1::Task& task : record.value->tasks()) {
      const bool silent = task.state() == v1::TASK_RUNNING || task.state() == v1::TASK_STOPPING;
      if (up_to_date && silent && task.node() == name &&
          reported.count(TaskKey(id, task.rank(), task.attempt())) == 0) {
        unknown.push_back(task.rank());
      }
    }
    if (reports == by_job.end() && unknown.empty()) continue;
    const auto updated = state_->UpdateJob(id, [&](v1::Job& job, EventDrafts& events) {
      bool changed = false;
      if (reports != by_job.end()) {
        for (const v1::TaskReport& report : reports->second) {
          const v1::Task* task = FindTask(job, report.rank(), report.attempt());
          if (task == nullptr || task->node() != name)
            continue;  // a node speaks for its own tasks only
          changed |= ApplyReport(job, report, state_->Now(), events);
        }
      }
      for (int rank : unknown) changed |= ApplyTaskUnknown(job, rank, state_->Now(), events);
      changed |= Advance(job, state_->Now(), events);
      return changed;
    });
    RETURN_IF_ERROR(updated.status());
  }
  return absl::OkStatus();
}

void NodeSessions::WaitForWork(const v1::HeartbeatRequest& request,
                               absl::FunctionRef<bool()> cancelled) const {
  const absl::Time deadline = absl::Now() + WaitFor(request);
  int64_t version = state_->version();
  while (!HasNews(request) && !cancelled()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    version = state_->WaitForChange(version, std::min(left, kCancelPoll));
  }
}

absl::StatusOr<v1::TaskAssignment> NodeSessions::Assign(const v1::Job& job, const v1::Task& task) {
  v1::TaskAssignment assignment = MakeAssignment(job, task, options_->registry_dir.string());
  if (!hooks_->issue_identity) return assignment;
  const std::string key = TaskKey(job.id(), task.rank(), task.attempt());
  TaskIdentity identity;
  {
    absl::MutexLock lock(&mu_);
    if (const auto known = identities_.find(key); known != identities_.end())
      identity = known->second;
  }
  if (identity.certificate_pem.empty()) {
    ASSIGN_OR_RETURN(identity, hooks_->issue_identity(job.id(), task.address()));
    absl::MutexLock lock(&mu_);
    identities_[key] = identity;
  }
  assignment.set_certificate_pem(identity.certificate_pem);
  assignment.set_private_key_pem(identity.private_key_pem);
  assignment.set_ca_pem(identity.ca_pem);
  return assignment;
}

absl::StatusOr<v1::HeartbeatResponse> NodeSessions::Answer(const v1::HeartbeatRequest& request) {
  const std::string& name = request.node().name();
  v1::HeartbeatResponse response;
  response.set_epoch(state_->epoch());
  response.set_lease_ms(absl::ToInt64Milliseconds(options_->lease));
  // Read before the jobs: the answer may be newer than its revision, never older.
  response.set_desired_revision(state_->DesiredRevision(name));
  for (const JobRecord& job : state_->JobsOnNode(name)) {
    for (const v1::Task& task : job.value->tasks()) {
      if (task.node() != name || !IsDesired(task)) continue;
      ASSIGN_OR_RETURN(*response.add_desired(), Assign(*job.value, task));
    }
  }
  for (const v1::TaskReport& report : request.tasks()) {
    if (report.state() != v1::TASK_EXITED && report.state() != v1::TASK_LOST) continue;
    const JobRecord job = state_->jobs().Find(report.job_id());
    const v1::Task* task =
        job.value == nullptr ? nullptr : FindTask(*job.value, report.rank(), report.attempt());
    if (task != nullptr && IsActive(task->state()) && task->node() == name) continue;
    v1::TaskName* forget = response.add_forget();
    forget->set_job_id(report.job_id());
    forget->set_rank(report.rank());
    forget->set_attempt(report.attempt());
    absl::MutexLock lock(&mu_);
    identities_.erase(TaskKey(report.job_id(), report.rank(), report.attempt()));
  }
  return response;
}

absl::StatusOr<v1::AppendLogResponse> NodeSessions::AppendLog(const v1::AppendLogRequest& request,
                                                              const std::string& node) {
  const v1::TaskName& task = request.task();
  const JobRecord job = state_->jobs().Find(task.job_id());
  if (job.value == nullptr) return absl::NotFoundError("no such job; its output is not kept");
  if (task.rank() < 0 || task.rank() >= kTasksMax || task.attempt() < 1 ||
      task.attempt() > job.value->attempt()) {
    return absl::NotFoundError("the job has no such task; its output is not kept");
  }
  if (const v1::Task* current = FindTask(*job.value, task.rank(), task.attempt());
      current != nullptr && !SpeaksForNode(node, current->node())) {
    return absl::PermissionDeniedError(
        absl::StrCat("the task runs on node ", current->node(), ", not on ", node));
  }
  if (request.stream() != v1::OUTPUT && request.stream() != v1::METRICS) {
    return absl::InvalidArgumentError("stream: must be OUTPUT or METRICS");
  }
  const LogName name{.job_id = task.job_id(),
                     .rank = task.rank(),
                     .attempt = task.attempt(),
                     .stream = request.stream()};
  ASSIGN_OR_RETURN(const int64_t size,
                   logs_->Append(name, request.offset(), request.data(), request.eof()));
  if (name.stream == v1::METRICS &&
      size == request.offset() + static_cast<int64_t>(request.data().size())) {
    RETURN_IF_ERROR(TakeEvents(task, metrics_->Ingest(name, request.offset())));
  }
  v1::AppendLogResponse response;
  response.set_size(size);
  return response;
}

absl::Status NodeSessions::TakeEvents(const v1::TaskName& task,
                                      const std::vector<ReportedEvent>& reported) {
  if (reported.empty()) return absl::OkStatus();
  return state_
      ->UpdateJob(
          task.job_id(),
          [&](v1::Job& job, EventDrafts& events) {
            for (const ReportedEvent& event : reported) {
              const bool failed = event.kind == "checkpoint.failed";
              events.push_back({event.kind, job.id(),
                                absl::StrCat("rank ", task.rank(), " at step ", event.step,
                                             event.path.empty() ? "" : ": ", event.path,
                                             event.message.empty() ? "" : ": ", event.message),
                                failed ? "error" : "info"});
              if (event.kind == "checkpoint.saved" && task.attempt() == job.attempt()) {
                ApplyCheckpoint(job, event.path, state_->Now(), events);
              }
            }
            return true;
          })
      .status();
}

absl::StatusOr<v1::Node> NodeSessions::SetSchedulable(const v1::SetNodeSchedulableRequest& request,
                                                      const Identity& caller) {
  const std::string action = request.schedulable() ? "node.uncordon" : "node.cordon";
  const std::string resource = absl::StrCat("node/", request.name().substr(0, kNameLengthMax));
  const auto audit = [&](const absl::Status& outcome) {
    if (hooks_->audit)
      hooks_->audit({caller, action, resource, outcome.ok(),
                     outcome.ok() ? request.reason() : std::string(outcome.message())});
  };
  if (const absl::Status allowed = CheckPermission(caller, Permission::kManageNodes, kEveryUnit);
      !allowed.ok()) {
    audit(allowed);
    return allowed;
  }
  if (state_->nodes().Find(request.name()).value == nullptr) {
    return absl::NotFoundError(absl::StrCat("no node ", request.name().substr(0, kNameLengthMax),
                                            "; `oneai node list` shows what there is"));
  }
  const auto node = state_->UpdateNode(request.name(), [&](v1::Node& node, EventDrafts& events) {
    const std::string reason = Printable(request.reason(), 512);
    const bool cordoned = !request.schedulable();
    const bool drained = !cordoned && node.has_drain();
    if (!drained && node.cordoned() == cordoned && node.cordon_reason() == (cordoned ? reason : ""))
      return false;
    node.set_cordoned(cordoned);
    node.set_cordon_reason(cordoned ? reason : "");
    if (drained) {
      node.clear_drain();
      // Nothing but a person can say that a slow node is not slow any more.
      SetCheck(node, kStragglerCheck, true, "", state_->Now(), events);
    }
    if (node.state() != v1::LOST) SettleState(node);
    events.push_back(
        {cordoned ? "node.cordoned" : "node.uncordoned", request.name(),
         absl::StrCat("by ", caller.principal.name(), reason.empty() ? "" : ": ", reason), "info"});
    return true;
  });
  audit(node.status());
  RETURN_IF_ERROR(node.status());
  return Get(request.name());
}

v1::Node NodeSessions::Describe(const v1::Node& node, const std::vector<JobRecord>& jobs) const {
  v1::Node described = WithUse(node, jobs);
  absl::MutexLock lock(&mu_);
  const auto session = sessions_.find(node.info().name());
  if (session != sessions_.end())
    SetTime(described.mutable_last_heartbeat(), session->second.last_heartbeat);
  if (described.state() == v1::LOST) {
    v1::HealthCheck* check = described.add_checks();
    check->set_name("heartbeat");
    check->set_message(described.message());
    check->set_since_unix_ms(absl::ToUnixMillis(GetTime(described.last_heartbeat())));
  }
  return described;
}

absl::StatusOr<v1::Node> NodeSessions::Get(const std::string& name) const {
  const Record<v1::Node> node = state_->nodes().Find(name);
  if (node.value == nullptr) {
    return absl::NotFoundError(absl::StrCat("no node ", name.substr(0, kNameLengthMax),
                                            "; `oneai node list` shows what there is"));
  }
  return Describe(*node.value, state_->JobsOnNode(name));
}

std::vector<v1::Node> NodeSessions::List() const {
  std::vector<v1::Node> nodes;
  for (const Record<v1::Node>& node : state_->nodes().All())
    nodes.push_back(Describe(*node.value, state_->JobsOnNode(node.value->info().name())));
  return nodes;
}

}  // namespace oneai::fabric
