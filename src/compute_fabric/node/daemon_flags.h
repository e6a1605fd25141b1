// File: compute_fabric/node/daemon_flags.h
//
// What the command lines of the fabric's daemons (oneai-node, oneai-slurm) have in common.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace oneai::fabric {

struct PortRange {
  int first = 0;
  int last = 0;
};

// "20000-20999". InvalidArgument names --ports.
absl::StatusOr<PortRange> ParsePorts(const std::string& text);

// Adds each "name=value" to `pairs`; the first one of a name stands. InvalidArgument names `flag`.
absl::Status ParsePairs(const std::string& flag, const std::vector<std::string>& texts,
                        std::map<std::string, std::string>& pairs);

// From now on SIGTERM and SIGINT set `stop`, and a broken pipe is an error of its writer only.
// `stop` must live as long as the process. At most once in a process.
void StopOnSignals(std::atomic<bool>* stop);

}  // namespace oneai::fabric
