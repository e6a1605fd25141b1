#include "compute_fabric/scheduler/describe.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace oneai::fabric {

std::string FormatCpuNumber(int64_t cpu_milli) { return absl::StrFormat("%g", cpu_milli / 1000.0); }

std::string FormatCpus(int64_t cpu_milli) {
  return absl::StrCat(FormatCpuNumber(cpu_milli),
                      cpu_milli > 0 && cpu_milli <= 1000 ? " CPU" : " CPUs");
}

std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.4g %s", value, kUnits[unit]);
}

std::string FormatLength(absl::Duration length) {
  if (length == absl::InfiniteDuration()) return "no limit";
  return absl::FormatDuration(absl::Trunc(length, absl::Seconds(1)));
}

std::string FormatNumber(int64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-') text += ',';
    text += digits[i];
  }
  return text;
}

std::string DescribeDevice(const DeviceAlternative& device) {
  std::string text = device.milli >= kWholeDevice
                         ? absl::StrCat(device.count, " ", device.kind)
                         : absl::StrFormat("%g of a %s", device.milli / 1000.0, device.kind);
  if (device.memory_bytes > 0) {
    absl::StrAppend(&text, " with ", FormatBytes(device.memory_bytes));
  }
  return text;
}

std::string DescribeShape(const TaskShape& shape) {
  std::vector<std::string> parts = {FormatCpus(shape.cpu_milli)};
  if (shape.memory_bytes > 0) parts.push_back(FormatBytes(shape.memory_bytes));
  if (!shape.devices.empty()) {
    parts.push_back(
        absl::StrJoin(shape.devices, " or ", [](std::string* out, const DeviceAlternative& device) {
          absl::StrAppend(out, DescribeDevice(device));
        }));
  }
  if (parts.size() == 1) return parts[0];
  const std::string last = parts.back();
  parts.pop_back();
  return absl::StrCat(absl::StrJoin(parts, ", "), " and ", last);
}

std::string DescribeNeed(const JobView& job) {
  const size_t num_ranks = job.ranks.size();
  const size_t num_tasks =
      job.gang ? std::min(num_ranks, static_cast<size_t>(std::max(1, job.tasks_min))) : num_ranks;
  std::string text = absl::StrCat(
      "needs ", num_tasks, num_tasks < num_ranks ? absl::StrCat(" to ", num_ranks) : "",
      num_ranks == 1 ? " task" : " tasks",
      job.spread == SpreadPolicy::kNode && num_ranks > 1 ? " on different nodes" : "", " with ",
      DescribeShape(job.shape), num_ranks == 1 ? "" : " each");
  for (const auto& [name, value] : job.shape.node_selector) {
    absl::StrAppend(&text, ", on nodes with ", name, "=", value);
  }
  if (job.topology && job.topology->required) {
    absl::StrAppend(&text, ", within one ", LevelName(job.topology->level));
  }
  if (!job.reservation.empty()) absl::StrAppend(&text, ", in reservation ", job.reservation);
  return text;
}

absl::string_view LevelName(TopologyLevel level) {
  switch (level) {
    case TopologyLevel::kNvlink:
      return "NVLink domain";
    case TopologyLevel::kHost:
      return "host";
    case TopologyLevel::kRack:
      return "rack";
    case TopologyLevel::kZone:
      return "zone";
  }
  return "";
}

}  // namespace oneai::fabric
