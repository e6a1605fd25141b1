// File: compute_fabric/scheduler/cluster/node.h
//
// A node as the scheduler sees it: capacity, devices with what is left of them, place in the
// topology, and when it may be used.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace oneai::fabric {

using NodeIndex = int32_t;  // dense, stable while the node exists
inline constexpr NodeIndex kNoNode = -1;

// Domains that contain one another, smallest first. A device's NVLink domain may be a part of its
// host (one baseboard) or span hosts (NVL72); everything else contains hosts.
enum class TopologyLevel { kNvlink, kHost, kRack, kZone };

struct DeviceSpec {
  std::string id;  // unique on the node
  std::string kind;
  int64_t memory_bytes = 0;
  bool healthy = true;
  // NVLink domain. Equal names on one node are one domain; a name that is unique in the fabric (the
  // node's label "nvlink-domain") joins devices of several nodes.
  std::string nvlink_domain;

  bool operator==(const DeviceSpec&) const = default;
};

// When a node is kept for something: a maintenance window, a user's reservation.
struct NodeHold {
  absl::Time start;
  absl::Time end;
  std::string reservation;  // jobs of this reservation may use it; empty: nobody (maintenance)
  std::string reason;       // "maintenance: firmware", "reserved as launch-week for retail"

  bool operator==(const NodeHold&) const = default;
};

// What reconcile is told about a node. Equal specs change nothing.
struct NodeSpec {
  std::string name;
  std::string address;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  std::vector<DeviceSpec> devices;
  std::map<std::string, std::string> labels;  // "rack", "zone", "nvlink-domain", ...
  int32_t port_first = 0;
  int32_t port_last = -1;
  // Empty: in service. "cordoned: disk swap", "lost: no heartbeat", "draining until …: …", "hot
  // spare".
  std::string unschedulable_reason;
  std::vector<NodeHold> holds;  // by start

  bool operator==(const NodeSpec&) const = default;
};

}  // namespace oneai::fabric
