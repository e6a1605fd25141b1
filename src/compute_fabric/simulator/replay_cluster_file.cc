#include "compute_fabric/simulator/replay_cluster_file.h"

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/config/reader.h"
#include "base/config/scalar.h"
#include "base/status.h"
#include "compute_fabric/scheduler/calendar/reservation.h"
#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {
namespace {

constexpr Range kNodesRange{1, 100'000};
constexpr Range kDevicesRange{1, 1024};
constexpr int64_t kNodesMax = 100'000;

absl::Duration OptionalLength(ConfigReader& reader, absl::string_view key,
                              absl::Duration fallback) {
  int64_t milliseconds = -1;
  reader.OptionalDuration(key, milliseconds);
  return milliseconds < 0 ? fallback : absl::Milliseconds(milliseconds);
}

struct DeviceGroup {
  std::string kind;
  int64_t count = 1;
  int64_t memory_bytes = int64_t{80} << 30;
};

std::vector<DeviceGroup> ReadDevices(ConfigReader& group) {
  std::vector<DeviceGroup> devices;
  for (ConfigReader& reader : group.Sections("devices")) {
    DeviceGroup& device = devices.emplace_back();
    reader.Required("kind", device.kind);
    reader.Optional("count", device.count, kDevicesRange);
    reader.OptionalBytes("memory", device.memory_bytes);
  }
  return devices;
}

// "nvlink: host" makes each node one domain, "rack" each rack.
void AddDevices(const std::vector<DeviceGroup>& groups, const std::string& nvlink, NodeSpec& node) {
  for (const DeviceGroup& group : groups) {
    for (int64_t i = 0; i < group.count; ++i) {
      DeviceSpec device{.id = absl::StrCat(node.devices.size()),
                        .kind = group.kind,
                        .memory_bytes = group.memory_bytes};
      if (nvlink == "host") device.nvlink_domain = "host";
      if (nvlink == "rack") device.nvlink_domain = node.labels["rack"];
      node.devices.push_back(std::move(device));
    }
  }
}

void ReadGroup(ConfigReader& reader, std::vector<NodeSpec>& nodes) {
  std::string name;
  int64_t count = 1, nodes_per_rack = 16, racks_per_zone = 16;
  double cpus = 64;
  NodeSpec model{.memory_bytes = int64_t{512} << 30, .port_first = 20000, .port_last = 29999};
  std::string nvlink = "host";
  reader.Required("name", name);
  reader.Optional("count", count, kNodesRange);
  reader.Optional("cpus", cpus, Range{0.001, 1e6});
  reader.OptionalBytes("memory", model.memory_bytes);
  reader.Optional("nodes_per_rack", nodes_per_rack, kNodesRange);
  reader.Optional("racks_per_zone", racks_per_zone, kNodesRange);
  reader.OptionalChoice("nvlink", nvlink, {"host", "rack", "none"});
  reader.Optional("labels", model.labels);
  const std::vector<DeviceGroup> devices = ReadDevices(reader);
  model.cpu_milli = std::llround(cpus * 1000);
  for (int64_t i = 0; i < count; ++i) {
    NodeSpec node = model;
    const int64_t rack = i / nodes_per_rack;
    node.name = absl::StrFormat("%s-%05d", name, i);
    node.labels.emplace("rack", absl::StrFormat("%s-rack-%03d", name, rack));
    node.labels.emplace("zone", absl::StrFormat("%s-zone-%d", name, rack / racks_per_zone));
    AddDevices(devices, nvlink, node);
    if (static_cast<int64_t>(nodes.size()) == kNodesMax) {
      reader.Fail("count", absl::StrCat("more than ", kNodesMax, " nodes in all"));
      return;
    }
    nodes.push_back(std::move(node));
  }
}

// "cpu: 128" cores, "memory: 2TiB", "nvidia-h100-80g: 64" devices.
Amounts ReadAmounts(ConfigReader& reader, absl::string_view key) {
  std::map<std::string, std::string> texts;
  reader.Optional(key, texts);
  Amounts amounts;
  for (const auto& [resource, text] : texts) {
    if (resource == kMemory) {
      const std::optional<int64_t> bytes = ParseBytes(text);
      if (!bytes) reader.Fail(key, absl::StrCat(resource, ": expected bytes, such as 2TiB"));
      amounts[resource] = bytes.value_or(0);
      continue;
    }
    const std::optional<double> number = ParseNumber(text);
    if (!number || std::abs(*number) > 1e9) {
      reader.Fail(key, absl::StrCat(resource, ": expected a number, not ", text));
    }
    amounts[resource] = std::llround(number.value_or(0) * 1000);
  }
  return amounts;
}

QueueSpec ReadQueue(ConfigReader& reader) {
  QueueSpec queue;
  reader.Required("path", queue.path);
  queue.nominal = ReadAmounts(reader, "nominal");
  queue.borrowing_limit = ReadAmounts(reader, "borrowing_limit");
  queue.lending_limit = ReadAmounts(reader, "lending_limit");
  queue.limit = ReadAmounts(reader, "limit");
  reader.Optional("weight", queue.weight);
  reader.Optional("reserve", queue.reserve);
  reader.Optional("sandbox", queue.sandbox);
  return queue;
}

// A window on the nodes whose name begins with one of `nodes`.
void ReadWindow(ConfigReader& reader, absl::Time begin, std::vector<NodeSpec>& nodes) {
  ReservationSpec window;
  std::vector<std::string> prefixes;
  std::string reservation;
  reader.Required("nodes", prefixes);
  window.start = begin + OptionalLength(reader, "start", absl::ZeroDuration());
  window.end = begin + OptionalLength(reader, "end", absl::ZeroDuration());
  reader.Optional("reason", window.reason);
  window.name = "window";
  if (window.end <= window.start) reader.Fail("end", "must be after start");
  for (const std::string& prefix : prefixes) {
    bool found = false;
    for (NodeSpec& node : nodes) {
      if (node.name.compare(0, prefix.size(), prefix) != 0) continue;
      found = true;
      window.nodes = {node.name};
      for (NodeHold& hold : HoldsOf(node.name, {window}, absl::InfinitePast())) {
        node.holds.push_back(std::move(hold));
      }
    }
    if (!found) reader.Fail("nodes", absl::StrCat("no node begins with ", prefix));
  }
}

void ReadPolicy(ConfigReader reader, Policy& policy) {
  static const std::map<std::string, HeadOfLine> kHeads = {{"backfill", HeadOfLine::kBackfill},
                                                           {"skip", HeadOfLine::kSkip},
                                                           {"block", HeadOfLine::kBlock}};
  std::string score = "oneai", head = "backfill";
  reader.Optional("score", score);
  reader.OptionalChoice("head_of_line", head, {"backfill", "skip", "block"});
  const absl::StatusOr<ScorePolicy> parsed = ParseScorePolicy(score);
  if (parsed.ok()) {
    policy.score = *parsed;
  } else {
    reader.Fail("score", parsed.status().message());
  }
  if (kHeads.count(head) > 0) policy.head_of_line = kHeads.at(head);
  reader.Optional("reservations_max", policy.reservations_max, Range{0, 10'000});
  reader.Optional("backfill_depth", policy.backfill_depth, Range{0, 1e9});
  reader.Optional("evictions_max", policy.evictions_max, Range{0, 1e6});
  reader.Optional("preemption", policy.preemption);
  reader.Optional("throughput_aware", policy.throughput_aware);
  policy.hold_after = OptionalLength(reader, "hold_after", policy.hold_after);
  policy.overtake_max = OptionalLength(reader, "overtake_max", policy.overtake_max);
  policy.overdue_after = OptionalLength(reader, "overdue_after", policy.overdue_after);
  policy.usage_half_life = OptionalLength(reader, "usage_half_life", policy.usage_half_life);
  policy.minimum_runtime = OptionalLength(reader, "minimum_runtime", policy.minimum_runtime);
  policy.resize_interval = OptionalLength(reader, "resize_interval", policy.resize_interval);
}

}  // namespace

absl::StatusOr<ReplayFile> ParseReplayFile(absl::string_view text, std::string source,
                                           absl::Time begin) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  ReplayFile file;
  for (ConfigReader& group : reader.Sections("nodes")) ReadGroup(group, file.cluster.nodes);
  if (file.cluster.nodes.empty()) reader.Fail("nodes", "a cluster needs at least one group");
  for (ConfigReader& queue : reader.Sections("queues")) {
    file.cluster.queues.push_back(ReadQueue(queue));
  }
  for (ConfigReader& window : reader.Sections("maintenance")) {
    ReadWindow(window, begin, file.cluster.nodes);
  }
  ReadPolicy(reader.Section("policy"), file.settings.policy);
  file.settings.checkpoint_interval =
      OptionalLength(reader, "checkpoint_interval", file.settings.checkpoint_interval);
  if (file.settings.checkpoint_interval <= absl::ZeroDuration()) {
    reader.Fail("checkpoint_interval", "must be above 0");
  }
  reader.Optional("limit_factor", file.limit_factor, Range{0, 1000});
  int64_t seed = 42;
  reader.Optional("seed", seed, Range{0, 1e15});
  file.seed = static_cast<uint64_t>(seed);
  file.settings.policy.seed = file.seed;
  RETURN_IF_ERROR(reader.Finish());
  return file;
}

}  // namespace oneai::fabric
