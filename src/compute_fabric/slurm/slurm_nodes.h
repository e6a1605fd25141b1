// File: compute_fabric/slurm/slurm_nodes.h
//
// A Slurm cluster's nodes in the fabric's terms: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/slurm/slurm_text.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

struct PoolOptions {
  std::string pool = "slurm";  // nodes are named "<pool>.<Slurm's name>"
  // Device kinds of the fabric by Slurm's GRES type: {"h100", "nvidia-h100-80g"}; a type that is
  // not here is its own kind.
  std::map<std::string, std::string> kinds;
  std::map<std::string, std::string> labels;
  int port_first = 0;  // shared out among nodes that have one address
  int port_last = 0;
};

// What the fabric is told of the nodes, in the order given. InvalidArgument: a name that is no node
// name, or too few ports.
absl::StatusOr<std::vector<v1::NodeInfo>> DescribeNodes(const std::vector<SlurmNode>& nodes,
                                                        const PoolOptions& options);

// What of Slurm's is behind each device id of DescribeNodes.
std::map<std::string, SlurmGres> DevicesOf(const SlurmNode& node);

// Why nobody should start anything there: "drained: disk swap"; empty: in service.
std::string OutOfService(const SlurmNode& node);

}  // namespace oneai::fabric
