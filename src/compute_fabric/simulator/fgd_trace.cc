#include "compute_fabric/simulator/fgd_trace.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "compute_fabric/simulator/csv_table.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kCpuMilliMax = 100'000'000;
constexpr int64_t kMemoryMiBMax = 1'000'000'000;
constexpr int64_t kDevicesMax = 64;

struct TaskColumns {
  int cpu = 0, memory = 0, num_gpu = 0, gpu_milli = 0;
  int gpu_spec = -1;
};

absl::StatusOr<TaskColumns> FindTaskColumns(const CsvTable& table) {
  TaskColumns columns;
  ASSIGN_OR_RETURN(columns.cpu, table.Column("cpu_milli"));
  ASSIGN_OR_RETURN(columns.memory, table.Column("memory_mib"));
  ASSIGN_OR_RETURN(columns.num_gpu, table.Column("num_gpu"));
  ASSIGN_OR_RETURN(columns.gpu_milli, table.Column("gpu_milli"));
  columns.gpu_spec = table.FindColumn("gpu_spec");
  return columns;
}

absl::StatusOr<TaskShape> ReadTask(const CsvTable& table, int64_t row, const TaskColumns& columns,
                                   const std::set<std::string>& models) {
  TaskShape shape;
  ASSIGN_OR_RETURN(shape.cpu_milli, table.Integer(row, columns.cpu, 0, kCpuMilliMax));
  ASSIGN_OR_RETURN(const int64_t memory_mib, table.Integer(row, columns.memory, 0, kMemoryMiBMax));
  shape.memory_bytes = memory_mib * kMiB;
  ASSIGN_OR_RETURN(const int64_t count, table.Integer(row, columns.num_gpu, 0, kDevicesMax));
  ASSIGN_OR_RETURN(const int64_t milli, table.Integer(row, columns.gpu_milli, 0, kWholeDevice));
  if (count == 0) return shape;
  if (milli == 0 || (count > 1 && milli != kWholeDevice)) {
    return table.FieldError(row, columns.gpu_milli,
                            count == 1 ? "a GPU task needs 1 to 1000"
                                       : "tasks with several GPUs take whole ones: 1000");
  }
  const std::string spec = columns.gpu_spec >= 0 ? table.Text(row, columns.gpu_spec) : "";
  // In the file's order and with its repetitions: the experiment counts tasks by the text.
  std::vector<std::string> accepted(models.begin(), models.end());
  if (!spec.empty()) accepted = absl::StrSplit(spec, '|');
  for (const std::string& model : accepted) {
    if (!models.contains(model)) continue;
    DeviceAlternative device;
    device.kind = model;
    device.count = static_cast<int32_t>(count);
    device.milli = static_cast<int32_t>(milli);
    shape.devices.push_back(std::move(device));
  }
  if (shape.devices.empty()) {
    return table.FieldError(
        row, columns.gpu_spec,
        absl::StrCat("no node has such a GPU; there are ", absl::StrJoin(models, ", ")));
  }
  return shape;
}

}  // namespace

absl::StatusOr<std::vector<NodeSpec>> ReadFgdNodes(const std::string& path) {
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(path));
  ASSIGN_OR_RETURN(const int name, table.Column("sn"));
  ASSIGN_OR_RETURN(const int cpu, table.Column("cpu_milli"));
  ASSIGN_OR_RETURN(const int memory, table.Column("memory_mib"));
  ASSIGN_OR_RETURN(const int gpu, table.Column("gpu"));
  ASSIGN_OR_RETURN(const int model, table.Column("model"));
  std::vector<NodeSpec> nodes;
  std::set<std::string> names;
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    NodeSpec node;
    node.name = table.Text(row, name);
    if (node.name.empty()) return table.FieldError(row, name, "a node needs a name");
    if (!names.insert(node.name).second) {
      return table.FieldError(row, name, "the name is there twice");
    }
    ASSIGN_OR_RETURN(node.cpu_milli, table.Integer(row, cpu, 0, kCpuMilliMax));
    ASSIGN_OR_RETURN(const int64_t memory_mib, table.Integer(row, memory, 0, kMemoryMiBMax));
    node.memory_bytes = memory_mib * kMiB;
    ASSIGN_OR_RETURN(const int64_t num_devices, table.Integer(row, gpu, 0, kDevicesMax));
    if (num_devices == 0) continue;
    if (table.Text(row, model).empty()) {
      return table.FieldError(row, model, "a node with GPUs needs their model");
    }
    for (int64_t i = 0; i < num_devices; ++i) {
      DeviceSpec device;
      device.id = absl::StrCat(i);
      device.kind = table.Text(row, model);
      node.devices.push_back(std::move(device));
    }
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no node with a GPU in it"));
  }
  return nodes;
}

absl::StatusOr<FgdWorkload> ReadFgdTasks(const std::string& path,
                                         const std::vector<NodeSpec>& nodes) {
  ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(path));
  ASSIGN_OR_RETURN(const TaskColumns columns, FindTaskColumns(table));
  std::set<std::string> models;
  for (const NodeSpec& node : nodes) {
    for (const DeviceSpec& device : node.devices) models.insert(device.kind);
  }
  FgdWorkload workload;
  const std::string stem = std::filesystem::path(path).stem().string();
  workload.name = std::string(absl::StripPrefix(stem, "openb_pod_list_"));
  for (int64_t row = 0; row < table.num_rows(); ++row) {
    ASSIGN_OR_RETURN(TaskShape task, ReadTask(table, row, columns, models));
    workload.tasks.push_back(std::move(task));
  }
  const bool any_gpu = std::any_of(workload.tasks.begin(), workload.tasks.end(),
                                   [](const TaskShape& t) { return !t.devices.empty(); });
  if (!any_gpu) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no task with a GPU in it"));
  }
  return workload;
}

}  // namespace oneai::fabric
