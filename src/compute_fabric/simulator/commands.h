// File: compute_fabric/simulator/commands.h
//
// The subcommands of oneai-sim, one function each: it adds the subcommand with its flags to `app`;
// parsing the command line runs it, and `result` gets the outcome. Both must outlive the parsing.
#pragma once

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace oneai::fabric {

// FGD's packing experiment (USENIX ATC'23).
void AddFgdCommand(CLI::App& app, absl::Status& result);
// Gavel's rounds on several kinds of GPU (OSDI'20).
void AddGavelCommand(CLI::App& app, absl::Status& result);
// Queueing on the Philly trace (ATC'19), five reference policies and ours.
void AddPhillyCommand(CLI::App& app, absl::Status& result);
// Any trace on any cluster.
void AddReplayCommand(CLI::App& app, absl::Status& result);

}  // namespace oneai::fabric
