// File: cli/commands.h
//
// The command tree: one Add...Commands per noun. A command parses, calls a service and prints;
// nothing is decided here.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/session.h"

namespace oneai::cli {

// Options that every command understands, and the command that parsing has chosen.
struct CommandContext {
  std::string dir;         // --dir
  std::string token_file;  // --token-file
  std::string output = "table";
  std::function<int()> run;

  bool json() const { return output == "json"; }
  absl::StatusOr<Session> Open() const { return Session::Open(FabricDir(dir), token_file); }
};

// A leaf command whose action runs after parsing and returns the exit status.
CLI::App* AddCommand(CLI::App& parent, CommandContext& context, const std::string& name,
                     const std::string& help, std::function<int()> action);

void AddFabricCommands(CLI::App& app,
                       CommandContext& context);  // up, down, status, ui, whoami, token
void AddJobCommands(CLI::App& app, CommandContext& context);
void AddNodeCommands(CLI::App& app, CommandContext& context);
void AddQueueCommands(CLI::App& app, CommandContext& context);  // queue, usage fabric
void AddSimCommand(CLI::App& app, CommandContext& context);     // sim

// Becomes oneai-sim, the program beside this one. Returns only when it cannot be started.
int RunSimulator(std::vector<std::string> arguments);
void AddEnrollCommand(CLI::App& app, CommandContext& context);
void AddDataCommands(CLI::App& app, CommandContext& context);  // data, audit
void AddModelCommands(CLI::App& app, CommandContext& context);
// Below `model`: inspect, verify, convert, quantize, init.
void AddModelFilesCommands(CLI::App& model, CommandContext& context);
bool IsModelFilesCommand(absl::string_view name);
// Becomes oneai-model, the program beside this one. Returns only when it cannot be started.
int RunModelTool(std::vector<std::string> arguments);
void AddEndpointCommands(CLI::App& app, CommandContext& context);  // endpoint, usage, infer

}  // namespace oneai::cli
