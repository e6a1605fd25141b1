// File: compute_fabric/scheduler/job.h
//
// A job as the scheduler sees it: what it asks for, what it holds, and what it would cost to stop
// it. Plain values, told by reconcile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/cluster/node.h"
#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

enum class SpreadPolicy {
  kPack,           // as few nodes as possible
  kNode,           // every task on its own node, or not at all
  kNodePreferred,  // on its own node while there are enough
  kRackPreferred,  // over racks, then nodes, while there are enough: replicas of an endpoint
};

struct TopologyWish {
  TopologyLevel level = TopologyLevel::kHost;
  bool required = false;  // else preferred: fewest domains of that level
};

struct DeviceGrant {
  std::string id;
  int32_t milli = kWholeDevice;
  int64_t memory_bytes = 0;
};

// One task that is placed.
struct TaskPlacement {
  int rank = 0;
  std::string node;
  std::string address;
  std::optional<DeviceAlternative> device;  // the alternative that was chosen
  std::vector<DeviceGrant> grants;          // of that alternative, by device
  std::vector<int> ports;
};

struct JobView {
  std::string id;
  std::string queue;  // path in the queue tree: "retail/nlp"
  std::string user;
  int priority = 0;
  absl::Time submitted;
  uint64_t sequence = 0;  // breaks ties of `submitted`
  // Its place in line is submitted + line_delay (policy.h, LineDelay; told by reconcile).
  absl::Duration line_delay = absl::ZeroDuration();

  // The request. A gang needs `tasks_min` of `tasks` at once (equal: not elastic); another job
  // takes what it can get, rank by rank.
  bool gang = false;
  int tasks_min = 1;
  int tasks = 1;
  TaskShape shape;
  SpreadPolicy spread = SpreadPolicy::kPack;
  std::optional<TopologyWish> topology;
  absl::Duration time_limit = absl::InfiniteDuration();
  std::string reservation;  // may use nodes held for it, and only those

  // To place now, ascending: all ranks of a waiting gang (`tasks` of them), the missing ones of
  // another job. Empty: nothing to do, the job only holds what it has.
  std::vector<int> ranks;
  // Not now, whatever is free: "waits for job-x (afterok)", "array job-a runs 8 of at most 8".
  // Explain adds what else stands in the way.
  std::vector<std::string> gates;
  // A gang that lost its place through no fault of its own (node loss, drain): its old place is
  // its before newcomers'. Sorted before its equals in priority.
  bool returning = false;
  uint64_t port_seed = 0;  // changes with each attempt, so that ports are not reused at once

  // What it holds.
  std::vector<TaskPlacement> placed;                  // active tasks
  absl::Time started = absl::InfiniteFuture();        // of this attempt
  absl::Time last_checkpoint = absl::InfinitePast();  // work since then is lost by stopping
  bool preemptible = true;
  // How often it has been stopped to give back what its queue had borrowed: each time it may run
  // twice as long before the next (queues/reclaim.h, ReclaimGuard).
  int times_reclaimed = 0;
  bool stopping = false;  // already on its way out: its resources come back, nobody counts on more
};

}  // namespace oneai::fabric
