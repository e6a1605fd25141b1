// oneai model inspect|verify|convert|quantize|init: work on files, which needs no fabric. They run
// in oneai-model, which stands beside this program: it knows what a model is, and `oneai` does not.
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace oneai::cli {
namespace {

struct FileCommand {
  const char *name, *help;
};
constexpr std::array<FileCommand, 5> kFileCommands = {
    {{"inspect", "what the files of a model hold (folder or .gguf; no fabric needed)"},
     {"verify", "check every byte of a model's files"},
     {"convert", "write a model as safetensors or GGUF"},
     {"quantize", "write a model with fewer bits"},
     {"init", "write a checkpoint with random weights of any published size"}}};

}  // namespace

bool IsModelFilesCommand(absl::string_view name) {
  for (const FileCommand& command : kFileCommands)
    if (name == command.name) return true;
  return false;
}

int RunModelTool(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), ExecutableDir() + "/oneai-model");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  return Fail(ErrnoStatus(errno, absl::StrCat("cannot start ", arguments[0])));
}

void AddModelFilesCommands(CLI::App& model, CommandContext& context) {
  for (const FileCommand& command : kFileCommands)
    AddCommand(model, context, command.name, command.help, [name = std::string(command.name)] {
      return RunModelTool({name, "--help"});
    });
}

}  // namespace oneai::cli
