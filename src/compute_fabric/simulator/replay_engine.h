// File: compute_fabric/simulator/replay_engine.h
//
// Replays a trace on a cluster through the scheduler's own Plan: the clock jumps from event to
// event, what the plan decides happens at once, without grace.
//
//   ends -> arrivals -> resizes at checkpoints -> Plan -> start, evict -> (Plan again) -> next
//   event
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/job.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

struct ReplayJob {
  // As submitted: id, queue, priority, submitted, shape, tasks, ranks 0..tasks-1, time limit.
  // sequence and line_delay are filled in by the replay.
  JobView request;
  // With all its tasks, on the device alternative with the highest relative throughput,
  // uninterrupted. Fewer tasks or a slower kind take longer in proportion.
  absl::Duration run_time;
};

struct ReplayCluster {
  std::vector<NodeSpec> nodes;
  std::vector<QueueSpec> queues;
};

struct ReplaySettings {
  Policy policy;
  // A job writes a checkpoint each time it has run for this long; stopped, it goes on from the
  // last. Infinite: it starts anew.
  absl::Duration checkpoint_interval = absl::Minutes(30);
  // How often to plan while jobs wait and nothing happens (a running job may have passed its
  // minimum runtime).
  absl::Duration tick = absl::Minutes(5);
};

struct ReplayedJob {
  absl::Time first_start = absl::InfiniteFuture();  // never
  absl::Time completed = absl::InfiniteFuture();    // never
  bool stopped_at_limit = false;
  int num_evictions = 0;
  int num_resizes = 0;
  double device_seconds = 0;       // held, in whole devices
  double lost_device_seconds = 0;  // of these, for work that was done again
};

struct ReplayResult {
  std::vector<ReplayedJob> jobs;                      // parallel to the trace
  absl::Time begin;                                   // first submission
  absl::Time end;                                     // last completion
  std::map<std::string, double> busy_device_seconds;  // by kind
  std::map<std::string, double> num_devices;          // by kind, as the cluster began
  int64_t num_passes = 0;
  int64_t num_considered = 0;
  absl::Duration planning;  // wall time spent in Plan
  absl::Duration slowest_pass;
};

// InvalidArgument: queues that do not add up. `jobs` need not be sorted. A job that still waits
// when nothing happens any more has never completed.
absl::StatusOr<ReplayResult> Replay(const ReplayCluster& cluster,
                                    const std::vector<ReplayJob>& jobs,
                                    const ReplaySettings& settings);

}  // namespace oneai::fabric
