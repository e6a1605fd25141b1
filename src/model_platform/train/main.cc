// oneai-train pretrain|evaluate|tokenize --config FILE: one rank of a training or evaluation job.
// Reads flags and environment, wires, runs. Exit status: 0 done, 1 failed, 2 bad flags or settings,
// 143 stopped by SIGTERM after a checkpoint.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/auth/pki.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/log/log.h"
#include "base/status.h"
#include "model_platform/data/governed_datasets.h"
#include "model_platform/data/prepare.h"
#include "model_platform/evaluate/evaluate_run.h"
#include "model_platform/train/pretrain.h"

namespace {

using namespace oneai;            // NOLINT(google-build-using-namespace): main only wires
using namespace oneai::platform;  // NOLINT(google-build-using-namespace)

constexpr int kExitFailed = 1, kExitBadSettings = 2, kExitStopped = 128 + SIGTERM;

std::atomic<bool> g_stop_requested = false;  // a signal handler has no other way to reach the run
static_assert(std::atomic<bool>::is_always_lock_free);

std::optional<std::string> GetEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

int Fail(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "oneai-train: %s\n", status.ToString().c_str());
  return exit_code;
}

struct Wiring {
  std::unique_ptr<GovernedDatasets> datasets;
  std::unique_ptr<GrpcRegistryClient> models;
};

absl::StatusOr<Wiring> Connect(const TaskEnvironment& task) {
  const std::filesystem::path tls = task.task_dir / "tls";
  ASSIGN_OR_RETURN(const TlsCredentials credentials,
                   LoadTlsCredentials({tls / "ca.crt", tls / "task.crt", tls / "task.key"}));
  const auto channel = NewChannel(task.controller, credentials);
  return Wiring{
      std::make_unique<GovernedDatasets>(data::v1::DataService::NewStub(channel)),
      std::make_unique<GrpcRegistryClient>(registry::v1::RegistryService::NewStub(channel))};
}

absl::Status Pretrain(const PretrainSettings& settings, const RunContext& context) {
  // Before this point the default action ends the process, with nothing to save.
  std::signal(SIGTERM, [](int) { g_stop_requested = true; });
  return RunPretrain(settings, context);
}

absl::Status Tokenize(const PretrainSettings& settings, const RunContext& context) {
  const std::filesystem::path folder = context.task.artifact_dir / "data";
  ASSIGN_OR_RETURN(const PreparedData data,
                   PrepareData(settings, folder, context.task.registry_dir, context.datasets));
  std::printf("%lld tokens of %lld documents in %s\n", static_cast<long long>(data.train_tokens),
              static_cast<long long>(data.train_documents), folder.c_str());
  return absl::OkStatus();
}

// Settings are parsed before anything is connected: a bad file is told apart from a bad fabric.
int Run(const std::string& command, const std::string& config_file, const TaskEnvironment& task) {
  const absl::StatusOr<std::string> text = ReadFile(config_file);
  if (!text.ok()) return Fail(text.status(), kExitBadSettings);
  absl::StatusOr<PretrainSettings> pretrain = PretrainSettings();
  absl::StatusOr<EvaluateSettings> evaluate = EvaluateSettings();
  if (command == "evaluate") {
    evaluate = ParseEvaluateSettings(*text, config_file);
    if (!evaluate.ok()) return Fail(evaluate.status(), kExitBadSettings);
  } else {
    pretrain = ParsePretrainSettings(*text, config_file);
    if (!pretrain.ok()) return Fail(pretrain.status(), kExitBadSettings);
  }
  const absl::StatusOr<Wiring> wiring = Connect(task);
  if (!wiring.ok()) return Fail(wiring.status(), kExitFailed);
  const RunContext context{task, *wiring->datasets, *wiring->models, ONEAI_CODE_REVISION,
                           g_stop_requested};
  const absl::Status status = command == "evaluate"   ? RunEvaluate(*evaluate, context)
                              : command == "tokenize" ? Tokenize(*pretrain, context)
                                                      : Pretrain(*pretrain, context);
  if (status.ok()) return 0;
  return Fail(status, absl::IsCancelled(status) ? kExitStopped : kExitFailed);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A rank of an oneai training or evaluation job; started by the node agent.");
  app.require_subcommand(1);
  std::string config_file;
  for (const char* name : {"pretrain", "evaluate", "tokenize"}) {
    CLI::App* command = app.add_subcommand(name);
    command->add_option("--config", config_file, "settings; default $ONEAI_TASK_DIR/config.json");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kExitBadSettings;
  }
  const absl::StatusOr<TaskEnvironment> task = ReadTaskEnvironment(GetEnvironment);
  if (!task.ok()) return Fail(task.status(), kExitBadSettings);
  if (config_file.empty()) config_file = task->task_dir / "config.json";
  if (absl::Status status = Log::Start({.component = "train"}); !status.ok()) {
    return Fail(status, kExitFailed);
  }
  return Run(app.get_subcommands().front()->get_name(), config_file, *task);
}
