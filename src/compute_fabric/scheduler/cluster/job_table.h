// File: compute_fabric/scheduler/cluster/job_table.h
//
// The jobs that wait or run, indexed by what the phases ask for: by queue and class, in order; by
// node; by expected end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "compute_fabric/scheduler/cluster/task_releases.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

// Jobs that ask for the same (shape, ranks, gang, spread, topology, reservation): what does not fit
// for one does not fit for its class-mates. A pass looks at a class that failed once, not at each
// of its jobs.
using JobClass = int32_t;

// A job that holds something. Valid, with its address, as long as the job is in the table.
struct RunningJob {
  const JobView* view = nullptr;
  absl::Time end;         // ExpectedEnd
  TaskReleases releases;  // what it gives back
};

// Thread-compatible; copyable.
class JobTable {
 public:
  JobTable();
  ~JobTable();
  JobTable(const JobTable&);
  JobTable& operator=(const JobTable&);

  // Adds or replaces. The pointer stays valid until the job is replaced or removed.
  const JobView* Set(JobView job);
  void Remove(absl::string_view id);
  const JobView* Find(absl::string_view id) const;  // null
  int64_t size() const;
  int64_t num_waiting() const;  // with ranks to place and no gate

  // A pass has placed the tasks: they move from `ranks` to `placed` (a gang waits for no more), and
  // a job that held nothing starts `now`. The pointer stays valid. Precondition: there is the job.
  const JobView* Place(absl::string_view id, const std::vector<TaskPlacement>& tasks,
                       absl::Time now);
  // A pass has decided to stop the job. The pointer stays valid. Precondition: there is the job.
  const JobView* MarkStopping(absl::string_view id);

  // -1: no job of the table is of that class. Numbers of classes that died out are used again.
  JobClass ClassOf(const JobView& job) const;

  // Waiting jobs without gates of one queue, in line: by priority (higher first), then returning,
  // then submitted + line_delay, submitted, sequence, id. Total, so that equal states give equal
  // plans.
  std::vector<std::string> QueuesWithWaiting() const;  // sorted
  // The classes with waiting jobs in the queue.
  std::vector<JobClass> WaitingClasses(absl::string_view queue) const;
  // The first waiting job of that queue and class after `after` (null: the first).
  const JobView* FirstWaiting(absl::string_view queue, JobClass job_class,
                              const JobView* after = nullptr) const;
  // All waiting jobs of the queue in order, until `visit` returns false.
  void VisitWaiting(absl::string_view queue, absl::FunctionRef<bool(const JobView&)> visit) const;

  // Jobs that hold something, by expected end (started + time_limit, earliest first; those without
  // limit last), until `visit` returns false.
  void VisitRunning(absl::FunctionRef<bool(const JobView&)> visit) const;
  // The same, with what they give back.
  void VisitRunningJobs(absl::FunctionRef<bool(RunningJob&)> visit);
  int64_t num_running() const;  // that hold something
  // Gangs that hold something and may have fewer or more tasks (tasks_min < tasks), by id.
  void VisitElastic(absl::FunctionRef<void(const JobView&)> visit) const;
  int64_t num_elastic() const;
  // Jobs with a task on the node.
  std::vector<const JobView*> OnNode(absl::string_view node) const;
  void VisitAll(absl::FunctionRef<void(const JobView&)> visit) const;  // by id
  // Each shape that is asked for or held, with its number of tasks. In a steady order.
  void VisitShapes(absl::FunctionRef<void(const TaskShape&, int64_t num_tasks)> visit) const;
  // The lowest priority among preemptible jobs of the queue that hold something and are not on
  // their way out. Nothing: there is none.
  std::optional<int> LowestPriorityHeld(absl::string_view queue) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Waits in the table's sense: ranks to place, no gate, not on its way out.
bool IsWaiting(const JobView& job);
// started + time_limit, InfiniteFuture without limit or when it holds nothing; InfinitePast when it
// is stopping: any moment now.
absl::Time ExpectedEnd(const JobView& job);
// The order of waiting jobs within a queue.
bool WaitsBefore(const JobView& a, const JobView& b);

}  // namespace oneai::fabric
