// File: compute_fabric/simulator/main.cc
//
// oneai-sim: experiments with the scheduler on published traces. Wires the subcommands.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "compute_fabric/simulator/commands.h"

int main(int argc, char** argv) {
  CLI::App app("oneai-sim: the scheduler's experiments on published traces");
  app.require_subcommand(1);
  absl::Status result = absl::OkStatus();
  oneai::fabric::AddFgdCommand(app, result);
  oneai::fabric::AddGavelCommand(app, result);
  oneai::fabric::AddPhillyCommand(app, result);
  oneai::fabric::AddReplayCommand(app, result);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (!result.ok()) {
    std::fprintf(stderr, "oneai-sim: %s\n", std::string(result.message()).c_str());
    return 1;
  }
  return 0;
}
