#include "compute_fabric/first_scheduler/quota.h"

#include "absl/strings/str_cat.h"
#include "compute_fabric/first_scheduler/explain.h"

namespace oneai::fabric::inline first {

bool DeviceWithinQuota(const QueueSnapshot& queue, const std::string& kind, int64_t count) {
  auto limit = queue.device_limit.find(kind);
  if (limit == queue.device_limit.end() || limit->second == 0) return true;
  auto used = queue.device_used.find(kind);
  return (used == queue.device_used.end() ? 0 : used->second) + count <= limit->second;
}

std::vector<std::string> QuotaBlockers(const std::string& project, const QueueSnapshot& queue,
                                       const TaskShape& shape, int64_t num_tasks) {
  std::vector<std::string> blockers;
  const int64_t cpu = shape.cpu_milli * num_tasks;
  if (queue.cpu_milli_limit > 0 && queue.cpu_milli_used + cpu > queue.cpu_milli_limit) {
    blockers.push_back(absl::StrCat("project ", project, " is at its CPU limit ",
                                    queue.cpu_milli_limit, "m: ", queue.cpu_milli_used,
                                    "m in use, ", cpu, "m asked for"));
  }
  const int64_t memory = shape.memory_bytes * num_tasks;
  if (queue.memory_bytes_limit > 0 && queue.memory_bytes_used + memory > queue.memory_bytes_limit) {
    blockers.push_back(absl::StrCat("project ", project, " is at its memory limit ",
                                    FormatBytes(queue.memory_bytes_limit), ": ",
                                    FormatBytes(queue.memory_bytes_used), " in use, ",
                                    FormatBytes(memory), " asked for"));
  }
  std::vector<std::string> device_blockers;
  for (const DeviceAlternative& device : shape.devices) {
    if (DeviceWithinQuota(queue, device.kind, device.count * num_tasks)) return blockers;
    device_blockers.push_back(absl::StrCat("project ", project, " is at its limit of ",
                                           queue.device_limit.at(device.kind), " ", device.kind,
                                           ": ", device.count * num_tasks, " more asked for"));
  }
  blockers.insert(blockers.end(), device_blockers.begin(), device_blockers.end());
  return blockers;
}

void ChargeQuota(QueueSnapshot& queue, const TaskShape& shape,
                 const std::vector<TaskPlacement>& tasks) {
  for (const TaskPlacement& task : tasks) {
    queue.cpu_milli_used += shape.cpu_milli;
    queue.memory_bytes_used += shape.memory_bytes;
    if (task.device) queue.device_used[task.device->kind] += task.device->count;
  }
}

}  // namespace oneai::fabric::inline first
