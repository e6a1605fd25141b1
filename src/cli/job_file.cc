#include "cli/job_file.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/config/document.h"
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
    int32_t milli = 0;
    int64_t device_memory = 0;
    device.Optional("milli", milli, Range{1, 1000});
    device.OptionalBytes("memory", device_memory);
    request.set_milli(milli);
    request.set_memory_bytes(device_memory);
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

// `tasks: 8`, or an elastic gang: `tasks: {min: 2, max: 8}`.
void ReadTasks(const ConfigDocument& document, ConfigReader& reader, JobSpec& spec) {
  int32_t tasks = 1;
  const ConfigDocument::Node* node = document.root()->Find("tasks");
  if (node == nullptr || node->kind != ConfigDocument::Node::Kind::kMapping) {
    reader.Optional("tasks", tasks, Range{1, 100'000});
    spec.set_num_tasks(tasks);
    return;
  }
  ConfigReader elastic = reader.Section("tasks");
  int32_t min = 1;
  elastic.Required("min", min, Range{1, 100'000});
  elastic.Required("max", tasks, Range{1, 100'000});
  if (min > tasks)
    elastic.Fail("min", absl::StrCat(min, " is above max; the nearest valid value is ", tasks));
  spec.set_num_tasks(tasks);
  spec.set_num_tasks_min(min);
}

void ReadTopology(ConfigReader& reader, JobSpec& spec) {
  if (!reader.Has("topology")) return;
  ConfigReader topology = reader.Section("topology");
  std::string level;
  bool required = false;
  topology.Required("level", level);
  topology.OptionalChoice("level", level, {"nvlink", "host", "rack", "zone"});
  topology.Optional("required", required);
  fabric::v1::TopologyLevel parsed = fabric::v1::TOPOLOGY_LEVEL_UNSPECIFIED;
  fabric::v1::TopologyLevel_Parse(absl::AsciiStrToUpper(level), &parsed);
  spec.mutable_topology()->set_level(parsed);
  spec.mutable_topology()->set_required(required);
}

// "SIGUSR1" or "10"; 0: neither.
int ParseSignal(absl::string_view text) {
  static constexpr std::pair<absl::string_view, int> kNames[] = {
      {"SIGHUP", SIGHUP},   {"SIGINT", SIGINT},   {"SIGTERM", SIGTERM},
      {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGQUIT", SIGQUIT}};
  for (const auto& [name, signal] : kNames) {
    if (text == name) return signal;
  }
  int number = 0;
  return absl::SimpleAtoi(text, &number) && number > 0 && number <= 64 ? number : 0;
}

void ReadPreemption(ConfigReader& reader, JobSpec& spec) {
  if (!reader.Has("preemption")) return;
  ConfigReader section = reader.Section("preemption");
  fabric::v1::PreemptionPolicy& policy = *spec.mutable_preemption();
  bool preemptible = true;
  section.Optional("preemptible", preemptible);
  if (section.Has("preemptible"))
    policy.set_preemptible(preemptible ? fabric::v1::PREEMPTIBLE : fabric::v1::NOT_PREEMPTIBLE);
  std::string signal;
  section.Optional("warning_signal", signal);
  if (!signal.empty()) {
    policy.set_warning_signal(ParseSignal(signal));
    if (policy.warning_signal() == 0)
      section.Fail("warning_signal", "is no signal; the nearest valid value is SIGUSR1");
  }
  int64_t warning_ms = signal.empty() ? 0 : 30'000;
  section.OptionalDuration("warning", warning_ms);
  policy.set_warning_ms(warning_ms);
}

// `[afterok:job-a, afterany:array-b, job-c]`; without a word: afterok.
void ReadDependencies(ConfigReader& reader, JobSpec& spec) {
  std::vector<std::string> depends_on;
  reader.Optional("depends_on", depends_on);
  for (const std::string& text : depends_on) {
    const size_t colon = text.find(':');
    const std::string word = colon == std::string::npos ? "afterok" : text.substr(0, colon);
    if (word != "afterok" && word != "afterany") {
      reader.Fail("depends_on", absl::StrCat("\"", word,
                                             "\" is neither afterok nor afterany; write "
                                             "for example afterok:job-0123456789"));
      return;
    }
    fabric::v1::Dependency& dependency = *spec.add_depends_on();
    dependency.set_job_id(colon == std::string::npos ? text : text.substr(colon + 1));
    dependency.set_condition(word == "afterok" ? fabric::v1::AFTER_OK : fabric::v1::AFTER_ANY);
  }
}

void ReadSweep(ConfigReader& reader, JobSpec& spec) {
  if (!reader.Has("sweep")) return;
  ConfigReader section = reader.Section("sweep");
  fabric::v1::SweepSpec& sweep = *spec.mutable_sweep();
  int32_t samples = 0;
  int32_t running_max = 0;
  int64_t seed = 0;
  section.Optional("samples", samples, Range{1, 10'000});
  section.Optional("running_max", running_max, Range{1, 10'000});
  section.Optional("seed", seed, Range{0, 9e15});
  sweep.set_num_samples(samples);
  sweep.set_running_max(running_max);
  sweep.set_seed(static_cast<uint64_t>(seed));
  for (ConfigReader& one : section.Sections("parameters")) {
    fabric::v1::SweepParameter& parameter = *sweep.add_parameters();
    std::string name;
    std::vector<std::string> values;
    double min = 0;
    double max = 0;
    bool log_scale = false;
    one.Required("name", name);
    one.Optional("values", values);
    one.Optional("min", min);
    one.Optional("max", max);
    one.Optional("log", log_scale);
    parameter.set_name(name);
    for (std::string& value : values) parameter.add_values(std::move(value));
    parameter.set_min(min);
    parameter.set_max(max);
    parameter.set_log_scale(log_scale);
  }
}

// Where and when it may run, and how it gives way.
void ReadPlacement(ConfigReader& reader, JobSpec& spec) {
  std::string priority_class;
  std::string reservation;
  std::string queue;
  std::string array;
  std::map<std::string, std::string> selector;
  int64_t disk = 0;
  int32_t processes = 0;
  reader.OptionalChoice("priority_class", priority_class,
                        {"frontier", "high", "normal", "low", "idle"});
  reader.Optional("reservation", reservation);
  reader.Optional("queue", queue);
  reader.Optional("node_selector", selector);
  reader.Optional("array", array);
  reader.OptionalBytes("disk", disk);
  reader.Optional("processes", processes, Range{1, 1 << 22});
  spec.set_priority_class(priority_class);
  spec.set_reservation(reservation);
  spec.set_queue(queue);
  spec.mutable_node_selector()->insert(selector.begin(), selector.end());
  if (!array.empty()) spec.mutable_array()->set_indices(array);
  spec.set_disk_bytes(disk);
  spec.set_processes_max(processes);
  ReadTopology(reader, spec);
  ReadPreemption(reader, spec);
  ReadDependencies(reader, spec);
  ReadSweep(reader, spec);
}

fabric::v1::Spread SpreadOf(const std::string& word) {
  if (word == "node") return fabric::v1::NODE;
  return word == "rack" ? fabric::v1::SPREAD_RACK : fabric::v1::PACK;
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

  int32_t priority = 0;
  std::string spread = "pack";
  int64_t grace_ms = 10'000;
  int64_t time_limit_ms = 0;
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> labels;
  reader.Optional("priority", priority, Range{-1000, 1000});
  reader.OptionalChoice("spread", spread, {"pack", "node", "rack"});
  reader.OptionalDuration("grace", grace_ms);
  reader.OptionalDuration("time_limit", time_limit_ms);
  reader.Optional("env", env);
  reader.Optional("labels", labels);
  spec.set_priority(priority);
  spec.set_spread(SpreadOf(spread));
  spec.set_grace_ms(grace_ms);
  spec.set_time_limit_ms(time_limit_ms);
  spec.mutable_env()->insert(env.begin(), env.end());
  spec.mutable_labels()->insert(labels.begin(), labels.end());
  spec.set_gang(true);

  ReadTasks(document, reader, spec);
  ReadPlacement(reader, spec);
  ReadResources(reader.Section("resources"), *spec.mutable_resources());
  ReadRestart(reader.Section("restart"), *spec.mutable_restart());
  ReadData(reader, spec);
  ReadCommand(reader, spec);
  RETURN_IF_ERROR(reader.Finish());
  return spec;
}

}  // namespace oneai::cli
