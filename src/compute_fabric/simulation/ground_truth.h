// File: compute_fabric/simulation/ground_truth.h
//
// What really happens, seen from above: every process on every machine, every durable commit, every
// acknowledgement. It holds the control plane to its promises at each step:
//
//   an acknowledged job is durable and stays; one request makes one job
//   an attempt of a task starts once; no two attempts of a gang, or of a rank, run together
//   no device is promised or used beyond what it is, shares included
//   a queue's hard limit is not exceeded by anything placed, nor what it may borrow at most
//   what is placed goes to nodes in service and to devices that work, after what it depends on
//   an array starts when it is whole, and of a bounded one only so many run at once
//   nobody is preempted for ever
//   a finished job stays finished, and starts nothing, unless it is retried
//   a waiting job says why
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "base/store/store.h"
#include "compute_fabric/node/task_environment.h"
#include "compute_fabric/simulation/simulator.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::fabric::simulation {

// Names the environment variable in which the workload puts its request id.
inline constexpr char kRequestVariable[] = "SIM_REQUEST";

struct Violation {
  std::string invariant;  // "run twice"
  std::string what;
  std::vector<std::string> words;  // that the telling lines of the trace contain
};

// Thread-compatible. Stops the simulation at the first violation.
class GroundTruth {
 public:
  explicit GroundTruth(Simulator* simulator) : simulator_(simulator) {}

  // Machines.
  void ProcessStarted(const std::string& node, const TaskOrder& order);
  void ProcessEnded(const std::string& node, const TaskKey& key);
  // The store.
  void Committed(int64_t revision, const std::vector<WatchEvent>& events);
  // People.
  void SubmitAcknowledged(const std::string& request_id, const std::string& job_id);
  void ArrayAcknowledged(const std::string& request_id, const v1::SubmitJobResponse& response);
  // From then on it may come back more than once: the call is repeated until it is answered.
  void RetryRequested(const std::string& job_id) { retries_.insert(job_id); }

  // Every job that waits must say why, once the control plane had `patience` to look at it;
  // `reasons` asks it.
  void CheckReasons(absl::Duration patience,
                    absl::FunctionRef<std::vector<std::string>(const std::string& id)> reasons);
  // The control plane could not look just now: patience begins anew.
  void ExcuseMissingReasons() { mute_since_.clear(); }
  // Processes that run although their task has ended in the record, in words.
  std::vector<std::string> LeftOver() const;
  // After the faults: jobs that should have ended and have not, with their last word.
  std::vector<std::string> Unfinished() const;

  void Violate(std::string invariant, std::string what, std::vector<std::string> words);
  const std::vector<Violation>& violations() const { return violations_; }
  const std::map<std::string, v1::Job>& jobs() const { return jobs_; }
  const std::map<std::string, v1::Node>& nodes() const { return nodes_; }
  const std::map<std::string, std::string>& acknowledged() const { return acknowledged_; }
  int64_t num_starts() const { return static_cast<int64_t>(started_.size()); }
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }

 private:
  struct Running {
    std::string node;
    std::map<std::string, int> devices;  // milli-devices by id
  };
  using Holder = std::pair<std::string, int>;  // job, rank

  void TakeJob(const std::string& id, const std::string& value);
  void TakeDeletion(const std::string& id);
  void TakeRequest(const v1::Job& job);
  void CheckHistory(const v1::Job& before, const v1::Job& after);
  void CheckPlacement(const v1::Job* before, const v1::Job& after);
  void CheckNode(const v1::Task& task, const v1::Job& job);
  void CheckDependencies(const v1::Job& job);
  void TakeArray(const v1::Job& after);
  void TakeDevices(const v1::Job* before, const v1::Job& after);
  void TakeQuota(const v1::Job* before, const v1::Job& after);

  Simulator* const simulator_;
  std::map<std::string, v1::Job> jobs_;
  std::map<std::string, v1::Node> nodes_;
  std::map<std::string, v1::Queue> queues_;
  std::map<std::string, std::string> job_of_request_;
  std::map<std::string, std::string> acknowledged_;  // request -> job
  std::set<std::string> retries_;
  std::map<std::string, absl::Time> mute_since_;  // waits without a reason

  std::map<TaskKey, Running> running_;
  std::set<TaskKey> started_;
  std::map<std::pair<std::string, std::string>, std::map<Holder, int>> held_;  // by node, device
  std::map<std::string, std::map<std::string, int64_t>> used_;  // by queue and resource
  std::map<std::string, v1::JobArray> arrays_;
  std::map<std::string, std::set<std::string>> jobs_of_array_;
  std::map<std::string, std::set<std::string>> holding_of_array_;  // of them, those with tasks
  std::set<std::string> ever_ended_;
  std::set<std::string> ever_succeeded_;
  std::vector<Violation> violations_;
};

}  // namespace oneai::fabric::simulation
