// A controller as an agent sees it: answers heartbeats with what the test wants to run and keeps
// what it is told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::fabric {

class FakeNodeService final : public v1::NodeService::Service {
 public:
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override {
    absl::MutexLock lock(&mu_);
    last_ = *request;
    ++num_heartbeats_;
    const absl::Time until = absl::Now() + absl::Milliseconds(request->max_wait_ms());
    while (revision_ == request->seen_revision() && absl::Now() < until &&
           !context->IsCancelled()) {
      changed_.WaitWithTimeout(&mu_, absl::Milliseconds(20));
    }
    response->set_epoch(epoch_);
    response->set_desired_revision(revision_);
    response->set_lease_ms(lease_ms_);
    for (const auto& task : desired_) *response->add_desired() = task;
    for (const auto& task : forget_) *response->add_forget() = task;
    return grpc::Status::OK;
  }

  grpc::Status AppendLog(grpc::ServerContext*, const v1::AppendLogRequest* request,
                         v1::AppendLogResponse* response) override {
    absl::MutexLock lock(&mu_);
    const std::string key = absl::StrCat(request->task().job_id(), "/", request->stream());
    std::string& log = logs_[key];
    if (request->offset() == static_cast<int64_t>(log.size())) {
      log += request->data();
      if (request->eof()) ended_[key] = true;
    }
    response->set_size(static_cast<int64_t>(log.size()));
    return grpc::Status::OK;
  }

  // What the agent should run, from now on.
  void SetDesired(std::vector<v1::TaskAssignment> desired, std::vector<v1::TaskName> forget = {}) {
    absl::MutexLock lock(&mu_);
    desired_ = std::move(desired);
    forget_ = std::move(forget);
    ++revision_;
    changed_.SignalAll();
  }
  void SetLeaseMs(int64_t lease_ms) {
    absl::MutexLock lock(&mu_);
    lease_ms_ = lease_ms;
  }
  void SetEpoch(int64_t epoch) {
    absl::MutexLock lock(&mu_);
    epoch_ = epoch;
  }
  v1::HeartbeatRequest last() const {
    absl::MutexLock lock(&mu_);
    return last_;
  }
  int num_heartbeats() const {
    absl::MutexLock lock(&mu_);
    return num_heartbeats_;
  }
  // The newest report about `job_id`; UNSPECIFIED state when there is none.
  v1::TaskReport Report(const std::string& job_id) const {
    absl::MutexLock lock(&mu_);
    for (const v1::TaskReport& report : last_.tasks()) {
      if (report.job_id() == job_id) return report;
    }
    return {};
  }
  std::string Log(const std::string& job_id, v1::LogStream stream = v1::OUTPUT) const {
    absl::MutexLock lock(&mu_);
    const auto it = logs_.find(absl::StrCat(job_id, "/", stream));
    return it == logs_.end() ? "" : it->second;
  }
  bool LogEnded(const std::string& job_id, v1::LogStream stream = v1::OUTPUT) const {
    absl::MutexLock lock(&mu_);
    return ended_.contains(absl::StrCat(job_id, "/", stream));
  }

 private:
  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  int64_t epoch_ = 1;
  int64_t lease_ms_ = 6'000;
  int64_t revision_ = 1;
  int num_heartbeats_ = 0;
  std::vector<v1::TaskAssignment> desired_;
  std::vector<v1::TaskName> forget_;
  v1::HeartbeatRequest last_;
  std::map<std::string, std::string> logs_;
  std::map<std::string, bool> ended_;
};

}  // namespace oneai::fabric
