#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {
namespace {

// What fragmentation looks at. Memory, ports and labels are left out: they are filters only, and
// shapes that differ in them alone are one typical task.
using Key = std::tuple<int64_t, std::vector<std::tuple<int32_t, int32_t, std::string>>>;

Key KeyOf(const TaskShape& shape) {
  Key key;
  std::get<0>(key) = shape.cpu_milli;
  for (const DeviceAlternative& device : shape.devices) {
    std::get<1>(key).emplace_back(device.milli, device.count, device.kind);
  }
  return key;
}

TaskShape ShapeOf(const Key& key) {
  TaskShape shape;
  shape.cpu_milli = std::get<0>(key);
  for (const auto& [milli, count, kind] : std::get<1>(key)) {
    DeviceAlternative device;
    device.milli = milli;
    device.count = count;
    device.kind = kind;
    shape.devices.push_back(std::move(device));
  }
  return shape;
}

}  // namespace

std::vector<TypicalTask> TypicalTasks(const std::vector<TaskShape>& tasks, double coverage) {
  std::map<Key, int64_t> counts;
  for (const TaskShape& task : tasks) ++counts[KeyOf(task)];
  std::vector<std::pair<int64_t, Key>> by_count;
  by_count.reserve(counts.size());
  for (const auto& [key, count] : counts) by_count.emplace_back(count, key);
  std::sort(by_count.rbegin(), by_count.rend());

  std::vector<TypicalTask> typical;
  int64_t covered = 0;
  for (const auto& [count, key] : by_count) {
    if (static_cast<double>(covered) >= coverage * static_cast<double>(tasks.size())) break;
    typical.push_back({ShapeOf(key), static_cast<double>(count)});
    covered += count;
  }
  for (TypicalTask& task : typical) task.popularity /= static_cast<double>(covered);
  return typical;
}

}  // namespace oneai::fabric
