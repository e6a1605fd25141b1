// A controller core on a real store with agents in the same process, driven step by step: no
// threads, no sleeps, time by hand.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/controller/queue_requests.h"
#include "compute_fabric/controller/schedule_loop.h"
#include "compute_fabric/endpoints/endpoint_requests.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_store.h"
#include "compute_fabric/node/protocol_version.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric::testing {

inline Identity Engineer(std::string name = "alice", auth::v1::Role role = auth::v1::ENGINEER,
                         std::string unit = "retail") {
  Identity identity;
  identity.principal.set_kind(common::v1::Principal::USER);
  identity.principal.set_name(name);
  identity.principal.set_business_unit(unit);
  auth::v1::RoleBinding binding;
  binding.set_role(role);
  binding.set_business_unit(unit);
  identity.bindings.push_back(binding);
  return identity;
}
inline Identity Admin() { return Engineer("root", auth::v1::ADMIN, "*"); }

// The objects of one controller process; thrown away and made again to act as kill -9.
struct Core {
  Core(Store* store, const Clock* clock, const ControllerOptions* options,
       const ControllerHooks* hooks)
      : state(store, clock),
        schedule(&state, options),
        logs(options->log_dir, options->log_bytes_max),
        metrics(&logs),
        jobs(&state, &schedule, hooks, options),
        queues(&state, &schedule, hooks),
        endpoints(&state, &jobs, hooks),
        sessions(&state, hooks, options, &logs, &metrics),
        loop(&state, &schedule, &sessions, &logs, options) {}
  FabricState state;
  LiveSchedule schedule;
  LogStore logs;
  MetricStore metrics;
  JobRequests jobs;
  QueueRequests queues;
  EndpointRequests endpoints;
  NodeSessions sessions;
  ScheduleLoop loop;
};

// An agent with its processes. Starts what is desired and unknown, stops what is not desired, as
// compute_fabric/node does.
class FakeAgent {
 public:
  using Key = std::tuple<std::string, int, int>;  // job, rank, attempt

  FakeAgent(std::string name, int64_t cpu_milli, std::vector<std::string> device_kinds = {}) {
    info_.set_name(name);
    info_.set_protocol_version(kProtocolVersion);
    info_.set_address("127.0.0.1");
    info_.set_cpu_milli(cpu_milli);
    info_.set_memory_bytes(int64_t{8} << 30);
    info_.set_port_first(20000);
    info_.set_port_last(20099);
    for (size_t i = 0; i < device_kinds.size(); ++i) {
      v1::Device* device = info_.add_devices();
      device->set_id(absl::StrCat("dev-", i));
      device->set_kind(device_kinds[i]);
      device->set_healthy(true);
    }
  }

  const std::string& name() const { return info_.name(); }
  v1::NodeInfo& info() { return info_; }
  // The agent's own checks that fail, and what it says its clock shows (0: nothing).
  void SetBroken(std::map<std::string, std::string> checks) { broken_ = std::move(checks); }
  void SetClock(absl::Time now) { unix_ms_ = absl::ToUnixMillis(now); }
  void Restart() { ++incarnation_; }

  // One heartbeat and what follows from its answer.
  absl::Status Beat(NodeSessions& sessions) {
    v1::HeartbeatRequest request;
    *request.mutable_node() = info_;
    request.set_incarnation(absl::StrCat(name(), "-", incarnation_));
    request.set_seen_revision(seen_revision_);
    request.set_unix_ms(unix_ms_);
    for (const auto& [name, message] : broken_) {
      v1::HealthCheck* check = request.add_checks();
      check->set_name(name);
      check->set_message(message);
    }
    for (const auto& [key, report] : tasks_) *request.add_tasks() = report;
    const absl::StatusOr<v1::HeartbeatResponse> response =
        sessions.Heartbeat(request, [] { return false; });
    if (!response.ok()) return response.status();
    if (response->epoch() < epoch_) return absl::OkStatus();
    epoch_ = response->epoch();
    seen_revision_ = response->desired_revision();
    Reconcile(*response);
    return absl::OkStatus();
  }

  // The process ends by itself. False: no such process runs.
  bool Exit(const std::string& job_id, int rank, int exit_code) {
    for (auto& [key, report] : tasks_) {
      if (std::get<0>(key) != job_id || std::get<1>(key) != rank ||
          report.state() != v1::TASK_RUNNING)
        continue;
      report.set_state(v1::TASK_EXITED);
      report.set_exit_code(exit_code);
      return true;
    }
    return false;
  }
  void SetReady(bool ready) {
    for (auto& [key, report] : tasks_)
      report.set_ready(ready && report.state() == v1::TASK_RUNNING);
  }
  int num_running() const {
    int running = 0;
    for (const auto& [key, report] : tasks_) running += report.state() == v1::TASK_RUNNING ? 1 : 0;
    return running;
  }
  std::vector<Key> Running() const {
    std::vector<Key> running;
    for (const auto& [key, report] : tasks_) {
      if (report.state() == v1::TASK_RUNNING) running.push_back(key);
    }
    return running;
  }
  // Every start there ever was, in order, with its assignment.
  const std::vector<v1::TaskAssignment>& started() const { return started_; }

 private:
  void Reconcile(const v1::HeartbeatResponse& response) {
    std::set<Key> desired;
    for (const v1::TaskAssignment& task : response.desired()) {
      const Key key = {task.job_id(), task.rank(), task.attempt()};
      desired.insert(key);
      if (tasks_.count(key) > 0) continue;
      v1::TaskReport& report = tasks_[key];
      report.set_job_id(task.job_id());
      report.set_rank(task.rank());
      report.set_attempt(task.attempt());
      report.set_state(v1::TASK_RUNNING);
      started_.push_back(task);
    }
    for (auto& [key, report] : tasks_) {
      if (desired.count(key) > 0 || report.state() == v1::TASK_EXITED) continue;
      report.set_state(v1::TASK_EXITED);
      report.set_signal(15);
    }
    for (const v1::TaskName& name : response.forget())
      tasks_.erase({name.job_id(), name.rank(), name.attempt()});
  }

  v1::NodeInfo info_;
  std::map<std::string, std::string> broken_;
  int64_t unix_ms_ = 0;
  int incarnation_ = 1;
  int64_t seen_revision_ = 0;
  int64_t epoch_ = 0;
  std::map<Key, v1::TaskReport> tasks_;
  std::vector<v1::TaskAssignment> started_;
};

class FakeFabric : public ::testing::Test {
 protected:
  FakeFabric() {
    dir_ = std::filesystem::path(::testing::TempDir()) /
           absl::StrCat("fabric-", ::testing::UnitTest::GetInstance()->random_seed(), "-", getpid(),
                        "-", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    options_.log_dir = dir_ / "logs";
    options_.artifact_dir = dir_ / "artifacts";
    options_.registry_dir = dir_ / "registry";
  }
  ~FakeFabric() override {
    core_.reset();
    store_.reset();
    std::filesystem::remove_all(dir_);
  }

  // Opens the store when there is none and starts a controller on it.
  virtual std::unique_ptr<Store> OpenStore() = 0;
  void StartController() {
    core_.reset();
    store_.reset();
    store_ = OpenStore();
    core_ = std::make_unique<Core>(store_.get(), &clock_, &options_, &hooks_);
    ASSERT_OK(core_->state.Load());
    core_->sessions.Start();
  }

  FakeAgent& AddNode(std::string name, int64_t cpu_milli,
                     std::vector<std::string> device_kinds = {}) {
    agents_.push_back(std::make_unique<FakeAgent>(name, cpu_milli, std::move(device_kinds)));
    EXPECT_OK(agents_.back()->Beat(core_->sessions));
    return *agents_.back();
  }
  // Half a second in which every agent that is not in `silent` beats and the loop runs.
  void Round(const std::set<std::string>& silent = {}) {
    for (auto& agent : agents_) {
      if (silent.count(agent->name()) > 0) continue;
      ASSERT_OK(agent->Beat(core_->sessions));
    }
    ASSERT_OK(core_->loop.Step());
    clock_.Advance(absl::Milliseconds(500));
  }
  void Rounds(int count, const std::set<std::string>& silent = {}) {
    for (int i = 0; i < count; ++i) Round(silent);
  }

  static v1::JobSpec Spec(std::string name, int num_tasks, int64_t cpu_milli) {
    v1::JobSpec spec;
    spec.set_name(name);
    spec.set_project("retail/nlp");
    spec.set_kind("command");
    spec.add_command("/bin/true");
    spec.set_num_tasks(num_tasks);
    spec.set_gang(true);
    spec.mutable_resources()->set_cpu_milli(cpu_milli);
    return spec;
  }
  absl::StatusOr<v1::SubmitJobResponse> Submit(const v1::JobSpec& spec,
                                               std::string request_id = "") {
    v1::SubmitJobRequest request;
    request.set_request_id(request_id.empty() ? absl::StrCat("request-", ++num_requests_)
                                              : request_id);
    *request.mutable_spec() = spec;
    return core_->jobs.Submit(request, Engineer());
  }
  v1::Job JobOf(const std::string& id) { return *core_->state.jobs().Find(id).value; }
  FakeAgent& Agent(const std::string& name) {
    for (auto& agent : agents_) {
      if (agent->name() == name) return *agent;
    }
    ADD_FAILURE() << "no agent " << name;
    return *agents_[0];
  }
  int NumRunning() {
    int running = 0;
    for (auto& agent : agents_) running += agent->num_running();
    return running;
  }

  std::filesystem::path dir_;
  FakeClock clock_;
  ControllerOptions options_;
  ControllerHooks hooks_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Core> core_;
  std::vector<std::unique_ptr<FakeAgent>> agents_;
  int num_requests_ = 0;
};

}  // namespace oneai::fabric::testing
