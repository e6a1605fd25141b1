// File: compute_fabric/controller/schedule_loop.h
//
// The shell around the scheduler:
//
//   judge nodes -> advance jobs -> reconcile endpoints -> Plan -> compare-and-commit placements,
//   evictions, resizes -> (heartbeats wake)
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/job_retention.h"
#include "compute_fabric/controller/job_timers.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/joblog/log_store.h"

namespace oneai::fabric {

// Step() is the loop's body, for tests that drive time themselves; Start() runs it in a thread
// until Stop(). Never both.
class ScheduleLoop {
 public:
  ScheduleLoop(FabricState* state, LiveSchedule* schedule, NodeSessions* sessions, LogStore* logs,
               const ControllerOptions* options)
      : state_(state),
        schedule_(schedule),
        sessions_(sessions),
        logs_(logs),
        options_(options),
        retention_(state, logs, options) {}
  ~ScheduleLoop() { Stop(); }

  // What a round also does about endpoints, before it places jobs. Not after Start().
  void SetEndpointStep(std::function<absl::Status(absl::Time now)> step) {
    endpoint_step_ = std::move(step);
  }

  void Start();
  void Stop();

  // One round at the clock's present time. An error leaves the rest for the next round; what was
  // committed stands.
  absl::Status Step();

 private:
  void Run();
  void NoticePause(absl::Time now);
  absl::Status JudgeNodes(absl::Time now);
  absl::Status LoseTasks(const std::string& node, absl::Time now);
  // Walks the jobs that changed or whose time has come.
  // Says on shared storage that the job's tasks on `node` will have successors; when that was done.
  absl::StatusOr<absl::Time> AnnounceLoss(const v1::Job& job, const std::string& node,
                                          absl::Time now);
  absl::Status AdvanceJobs(absl::Time now);
  absl::Status AdvanceJob(const JobRecord& record, absl::Time now);
  void NoticeEnd(const v1::Job& job);
  absl::Status ShowLastOutput(const v1::Job& job, absl::Time now);
  absl::Status PlaceJobs(absl::Time now);
  absl::Status CommitPlacements(const std::vector<JobPlacement>& placements, absl::Time now);
  // The outcome of each group; several are under way at the same time.
  std::vector<absl::Status> CommitAtOnce(const std::vector<std::vector<PlacementCommit>>& groups);
  // What becomes of a group that could not be committed: each half for itself, down to the job.
  absl::Status CommitApart(const std::vector<PlacementCommit>& group, const absl::Status& together,
                           absl::Time now);
  // What stands on disk before the commit; Aborted: the job or a node is gone.
  absl::StatusOr<PlacementCommit> PreparePlacement(const JobPlacement& placement);
  absl::Status CommitEvictions(const PlanResult& plan, absl::Time now);
  absl::Status AnnounceAttempts(const v1::Job& job, const JobPlacement& placement);
  absl::Status SetReason(const std::string& job_id, const std::string& reason, absl::Time now);
  absl::Status ReconcileEndpoints(absl::Time now);

  FabricState* const state_;
  LiveSchedule* const schedule_;
  NodeSessions* const sessions_;
  LogStore* const logs_;
  const ControllerOptions* const options_;
  std::function<absl::Status(absl::Time now)> endpoint_step_;  // empty: nothing
  absl::Time last_step_ = absl::InfinitePast();
  int64_t queues_revision_ = 0;  // that the present plan was made with
  // By job, node and attempt.
  std::map<std::tuple<std::string, std::string, int>, absl::Time> announced_losses_;
  JobRetention retention_;
  JobTimers timers_;
  absl::btree_set<std::string> to_advance_;
  // Failed jobs whose last output may still be on its way.
  absl::btree_set<std::string> awaiting_output_;

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace oneai::fabric
