#include "cli/job_file.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::cli {
namespace {

using fabric::v1::JobSpec;

// Kinds whose settings stand in a section of the same name and are checked by the controller.
const std::vector<std::string>& BuiltInKinds() {
  static const auto* const kinds = new std::vector<std::string>{"pretrain", "evaluate"};
  return *kinds;
}

void ReadResources(ConfigReader reader, fabric::v1::Resources& resources) {
  double cpus = 1;
  reader.Optional("cpus", cpus, Range{0.001, 100'000});
  resources.set_cpu_milli(static_cast<int64_t>(cpus * 1000 + 0.5));
  int64_t memory_bytes = 1 << 30;
  reader.OptionalBytes("memory", memory_bytes);
  resources.set_memory_bytes(memory_bytes);
  int32_t ports = 0;
  reader.Optional("ports", ports, Range{0, 16});
  resources.set_num_ports(ports);
  for (ConfigReader& device : reader.Sections("devices")) {
    fabric::v1::DeviceRequest& request = *resources.add_devices();
    std::string kind;
    int32_t count = 1;
    double throughput = 1;
    device.Required("kind", kind);
    device.Optional("count", count, Range{1, 1024});
    device.Optional("relative_throughput", throughput, Range{1e-6, 1e6});
    request.set_kind(kind);
    request.set_count(count);
    request.set_relative_throughput(throughput);
  }
}

void ReadRestart(ConfigReader reader, fabric::v1::RestartPolicy& restart) {
  int32_t max_restarts = 3;
  int64_t initial_ms = 1000;
  int64_t max_ms = 60'000;
  reader.Optional("max_restarts", max_restarts, Range{-1, 1'000'000});
  reader.OptionalDuration("backoff", initial_ms);
  reader.OptionalDuration("backoff_max", max_ms);
  restart.set_max_restarts(max_restarts);
  restart.set_backoff_initial_ms(initial_ms);
  restart.set_backoff_max_ms(max_ms);
}

void ReadData(ConfigReader& reader, JobSpec& spec) {
  for (ConfigReader& use : reader.Sections("data")) {
    std::string dataset;
    std::string purpose;
    use.Required("dataset", dataset);
    use.Required("purpose", purpose);
    fabric::v1::DataUse& data = *spec.add_data();
    data.set_dataset(dataset);
    data.set_purpose(purpose);
  }
}

void ReadCommand(ConfigReader& reader, JobSpec& spec) {
  std::vector<std::string> command;
  reader.Optional("command", command);
  const bool built_in = std::count(BuiltInKinds().begin(), BuiltInKinds().end(), spec.kind()) > 0;
  if (built_in && !command.empty()) {
    reader.Fail("command",
                absl::StrCat("a job of kind ", spec.kind(), " has no command of its own"));
  }
  // A misspelt `command` is reported as an unknown key, which a failure here would hide.
  if (!built_in && command.empty()) reader.Required("command", command);
  for (std::string& argument : command) spec.add_command(std::move(argument));
  for (const std::string& kind : BuiltInKinds()) {
    if (spec.kind() == kind) {
      spec.set_config_json(reader.RawJson(kind));
      if (spec.config_json().empty())
        reader.Fail("kind", absl::StrCat("a job of kind ", kind, " needs a section `", kind, ":`"));
    }
  }
}

}  // namespace

absl::StatusOr<JobSpec> ParseJobFile(absl::string_view text, const std::string& source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  JobSpec spec;
  std::string name;
  std::string project;
  std::string kind = "command";
  reader.Required("name", name);
  reader.Required("project", project);
  reader.OptionalChoice("kind", kind, {"command", "pretrain", "evaluate"});
  spec.set_name(name);
  spec.set_project(project);
  spec.set_kind(kind);

  int32_t tasks = 1;
  int32_t priority = 0;
  std::string spread = "pack";
  int64_t grace_ms = 10'000;
  int64_t time_limit_ms = 0;
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> labels;
  reader.Optional("tasks", tasks, Range{1, 100'000});
  reader.Optional("priority", priority, Range{-1000, 1000});
  reader.OptionalChoice("spread", spread, {"pack", "node"});
  reader.OptionalDuration("grace", grace_ms);
  reader.OptionalDuration("time_limit", time_limit_ms);
  reader.Optional("env", env);
  reader.Optional("labels", labels);
  spec.set_num_tasks(tasks);
  spec.set_priority(priority);
  spec.set_spread(spread == "node" ? fabric::v1::NODE : fabric::v1::PACK);
  spec.set_grace_ms(grace_ms);
  spec.set_time_limit_ms(time_limit_ms);
  spec.mutable_env()->insert(env.begin(), env.end());
  spec.mutable_labels()->insert(labels.begin(), labels.end());
  spec.set_gang(true);

  ReadResources(reader.Section("resources"), *spec.mutable_resources());
  ReadRestart(reader.Section("restart"), *spec.mutable_restart());
  ReadData(reader, spec);
  ReadCommand(reader, spec);
  RETURN_IF_ERROR(reader.Finish());
  return spec;
}

}  // namespace oneai::cli
