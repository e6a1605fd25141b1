// One rank of a pre-training job as oneai-train runs it, but with a file instead of data governance
// and without a registry: what the resume tests start and kill.
//   rank_main SETTINGS.json CORPUS
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/files/files.h"
#include "model_platform/train/pretrain.h"
#include "testing/fake_datasets.h"

namespace {

std::atomic<bool> stop_requested = false;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return absl::IsCancelled(status) ? 143 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace oneai;
  using namespace oneai::platform;
  if (argc != 3) return 2;
  const auto task = ReadTaskEnvironment([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
  if (!task.ok()) return Fail(task.status());
  const auto text = ReadFile(argv[1]);
  if (!text.ok()) return Fail(text.status());
  const auto settings = ParsePretrainSettings(*text, argv[1]);
  if (!settings.ok()) return Fail(settings.status());
  const auto corpus = ReadFile(argv[2]);
  if (!corpus.ok()) return Fail(corpus.status());
  oneai::platform::testing::FakeDatasets datasets({{"corpus.txt", *corpus}});
  oneai::platform::testing::FakeRegistry models;
  std::signal(SIGTERM, [](int) { stop_requested = true; });
  const absl::Status status =
      RunPretrain(*settings, {*task, datasets, models, "test", stop_requested});
  return status.ok() ? 0 : Fail(status);
}
