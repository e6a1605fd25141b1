// File: compute_fabric/first_scheduler/cluster_snapshot.h
//
// What the scheduler sees and what it answers, as plain values. A snapshot is immutable once built;
// the plan is a function of it and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace oneai::fabric::inline first {

struct DeviceSnapshot {
  std::string id;
  std::string kind;
  bool healthy = true;
  bool in_use = false;
};

struct NodeSnapshot {
  std::string name;
  std::string address;
  bool schedulable = true;
  std::string unschedulable_reason;  // "cordoned: disk swap", "lost"
  int64_t cpu_milli = 0;
  int64_t cpu_milli_used = 0;
  int64_t memory_bytes = 0;
  int64_t memory_bytes_used = 0;
  std::vector<DeviceSnapshot> devices;
  int port_first = 0;
  int port_last = -1;
  std::set<int> ports_used;

  int64_t cpu_milli_free() const { return cpu_milli - cpu_milli_used; }
  int64_t memory_bytes_free() const { return memory_bytes - memory_bytes_used; }
  int64_t num_ports() const { return port_last - port_first + 1; }
};

struct DeviceAlternative {
  std::string kind;
  int64_t count = 0;
  double relative_throughput = 1;
};

// What each task of a job needs.
struct TaskShape {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  std::vector<DeviceAlternative> devices;  // any one of them; empty: none
  int64_t num_ports = 0;
};

enum class SpreadPolicy {
  kPack,           // as few nodes as possible
  kNode,           // every task on its own node, or not at all
  kNodePreferred,  // on its own node while there are enough
};

// A job with tasks to place.
struct PendingJob {
  std::string id;
  std::string project;
  int priority = 0;
  absl::Time submitted;
  bool gang = false;  // all of `ranks` or none
  SpreadPolicy spread = SpreadPolicy::kPack;
  TaskShape shape;
  std::vector<int> ranks;                 // to place now, ascending
  std::multiset<std::string> nodes_held;  // where its other tasks run
  uint64_t port_seed = 0;  // changes with each attempt, so that ports are not reused at once
};

// A project's limits and use. A limit of 0 is none.
struct QueueSnapshot {
  int64_t cpu_milli_limit = 0;
  int64_t cpu_milli_used = 0;
  int64_t memory_bytes_limit = 0;
  int64_t memory_bytes_used = 0;
  std::map<std::string, int64_t> device_limit;  // by kind
  std::map<std::string, int64_t> device_used;
};

struct ClusterSnapshot {
  std::vector<NodeSnapshot> nodes;
  std::vector<PendingJob> pending;
  std::map<std::string, QueueSnapshot> queues;  // by project
};

struct TaskPlacement {
  int rank = 0;
  std::string node;
  std::string address;
  std::optional<DeviceAlternative> device;  // the alternative that was chosen
  std::vector<std::string> device_ids;
  std::vector<int> ports;
};

struct JobPlacement {
  std::string job_id;
  std::vector<TaskPlacement> tasks;  // by rank
};

// Why a job (or the rest of it) was not placed: every blocker, in words.
struct PendingReason {
  std::string job_id;
  std::vector<std::string> reasons;
};

struct PlacementPlan {
  std::vector<JobPlacement> placements;  // in the order decided
  std::vector<PendingReason> pending;
};

}  // namespace oneai::fabric::inline first
