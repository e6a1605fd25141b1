// oneai: the command line of the platform. Links no LibTorch; `oneai --help` answers at once.
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <csignal>
#include <cstdio>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace oneai::cli {

CLI::App* AddCommand(CLI::App& parent, CommandContext& context, const std::string& name,
                     const std::string& help, std::function<int()> action) {
  CLI::App* command = parent.add_subcommand(name, help);
  // A command that has commands of its own below it (`usage`, `usage fabric`) leaves it to them.
  command->callback([&context, command, action = std::move(action)] {
    if (command->get_subcommands().empty()) context.run = action;
  });
  return command;
}

namespace {

// What stands where a command was expected: CLI11 only says that one is missing.
std::string UnknownCommand(CLI::App& app) {
  CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().back();
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  std::vector<std::string> known;
  for (const CLI::App* command : deepest->get_subcommands(nullptr))
    known.push_back(command->get_name());
  if (rest.empty() || known.empty()) return "";
  const std::optional<std::string> nearest = NearestWord(rest[0], known);
  return absl::StrCat("unknown command \"", Printable(rest[0]), "\"",
                      nearest ? absl::StrCat("; did you mean \"", *nearest, "\"?") : "", " (",
                      absl::StrJoin(known, ", "), ")\n");
}

int Main(int argc, char** argv) {
  CommandContext context;
  CLI::App app{"oneai - train and serve large language models on one compute fabric"};
  app.set_version_flag("--version", ONEAI_VERSION);
  app.add_option(
      "--dir", context.dir,
      "folder of the fabric (default: $ONEAI_FABRIC_DIR or ~/.local/share/oneai/default)");
  app.add_option("--token-file", context.token_file,
                 "file with the token to use (default: the fabric's admin token)");
  app.add_option("-o,--output", context.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  app.require_subcommand(1);
  app.fallthrough();
  AddFabricCommands(app, context);
  AddJobCommands(app, context);
  AddNodeCommands(app, context);
  AddEnrollCommand(app, context);
  AddDataCommands(app, context);
  AddModelCommands(app, context);
  AddEndpointCommands(app, context);
  AddQueueCommands(app, context);
  AddSimCommand(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_name() == "RequiredError") {
      if (const std::string unknown = UnknownCommand(app); !unknown.empty()) {
        std::fputs(absl::StrCat("error: ", unknown).c_str(), stderr);
        return kExitUsage;
      }
    }
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return context.run ? context.run() : kExitUsage;
}

}  // namespace
}  // namespace oneai::cli

int main(int argc, char** argv) {
  // The simulator reads its own arguments.
  if (argc > 1 && std::string(argv[1]) == "sim")
    return oneai::cli::RunSimulator({argv + 2, argv + argc});
  // So do the commands on files of models.
  if (argc > 2 && std::string(argv[1]) == "model" && oneai::cli::IsModelFilesCommand(argv[2]))
    return oneai::cli::RunModelTool({argv + 2, argv + argc});
  std::signal(SIGPIPE, SIG_IGN);  // `oneai job logs | head` ends by a failed write
  return oneai::cli::Main(argc, argv);
}
