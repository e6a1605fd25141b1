// oneai: the command line of the platform. Links no LibTorch; `oneai --help` answers at once.
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <optional>

#include "absl/strings/match.h"
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

// Index of the first word that is not an option of every command.
size_t CommandIndex(const std::vector<std::string>& arguments) {
  size_t i = 0;
  while (i < arguments.size() && absl::StartsWith(arguments[i], "-")) {
    const bool takes_next = arguments[i] == "--dir" || arguments[i] == "--token-file" ||
                            arguments[i] == "-o" || arguments[i] == "--output";
    i += takes_next ? 2 : 1;
  }
  return std::min(i, arguments.size());
}

// The simulator and the commands on files of models read their own arguments; of ours the output's
// form means something to them.
std::optional<int> RunOtherProgram(const std::vector<std::string>& arguments) {
  const size_t at = CommandIndex(arguments);
  const auto command = arguments.begin() + static_cast<ptrdiff_t>(at);
  const size_t num_words = arguments.size() - at;
  if (num_words > 0 && command[0] == "sim") return RunSimulator({command + 1, arguments.end()});
  if (num_words < 2 || command[0] != "model" || !IsModelFilesCommand(command[1]))
    return std::nullopt;
  std::vector<std::string> words(command + 1, arguments.end());
  const auto wants_json = [](const std::string& word) {
    return word == "json" || word == "-ojson" || word == "--output=json";
  };
  if (std::any_of(arguments.begin(), command, wants_json)) words.push_back("--json");
  return RunModelTool(std::move(words));
}

}  // namespace
}  // namespace oneai::cli

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (const std::optional<int> status = oneai::cli::RunOtherProgram(arguments)) return *status;
  std::signal(SIGPIPE, SIG_IGN);  // `oneai job logs | head` ends by a failed write
  return oneai::cli::Main(argc, argv);
}
