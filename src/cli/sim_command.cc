// oneai sim: the simulator, which stands beside this program.
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace oneai::cli {

int RunSimulator(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), ExecutableDir() + "/oneai-sim");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  return Fail(ErrnoStatus(errno, absl::StrCat("cannot start ", arguments[0])));
}

void AddSimCommand(CLI::App& app, CommandContext& context) {
  AddCommand(app, context, "sim",
             "replay a trace on a cluster under a policy, without a fabric (`oneai sim --help`)",
             [] { return RunSimulator({}); });
}

}  // namespace oneai::cli
