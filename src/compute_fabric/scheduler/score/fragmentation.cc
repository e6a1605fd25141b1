#include "compute_fabric/scheduler/score/fragmentation.h"

#include <algorithm>
#include <limits>

#include "absl/strings/string_view.h"

namespace oneai::fabric {
namespace {

// kWhileCpuLasts: how much further the CPU goes than for more of the same task. 1 leaves no room
// for neighbours that need less; from 3 on the CPU hardly counts. 1.25 to 2 measured alike.
constexpr double kCpuSlack = 1.5;

}  // namespace

void NodeProfile::Take(int64_t cpu, const DeviceAlternative* wanted, int kind, int device) {
  cpu_milli -= cpu;
  if (wanted == nullptr) return;
  if (wanted->milli < kWholeDevice) {
    kinds[kind].left[device] -= wanted->milli;
    return;
  }
  int32_t missing = wanted->count;
  for (int32_t& left : kinds[kind].left) {
    if (missing == 0) return;
    if (left < kWholeDevice) continue;
    left = 0;
    --missing;
  }
}

int NodeProfile::FindKind(const std::string& name) const {
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (*kinds[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

FragmentationModel::FragmentationModel(const std::vector<TypicalTask>& typical_tasks,
                                       FragmentRule rule) {
  for (const TypicalTask& task : typical_tasks) {
    std::vector<absl::string_view> seen;
    for (const DeviceAlternative& device : task.shape.devices) {
      if (std::find(seen.begin(), seen.end(), device.kind) != seen.end()) continue;
      seen.push_back(device.kind);
      AddDemand(task, device, rule);
    }
  }
  if (rule != FragmentRule::kWhileCpuLasts) return;
  for (KindTable& table : tables_) {
    double sum = 0;
    for (const Level& level : table.levels) {
      for (const Demand& demand : level.demands) sum += demand.popularity;
    }
    for (Level& level : table.levels) {
      for (Demand& demand : level.demands) demand.popularity /= sum;
    }
  }
}

void FragmentationModel::AddDemand(const TypicalTask& task, const DeviceAlternative& device,
                                   FragmentRule rule) {
  auto table = std::find_if(tables_.begin(), tables_.end(),
                            [&](const KindTable& t) { return t.kind == device.kind; });
  if (table == tables_.end()) table = tables_.insert(table, {device.kind, {}});
  auto level = std::find_if(table->levels.begin(), table->levels.end(),
                            [&](const Level& l) { return l.milli == device.milli; });
  if (level == table->levels.end()) level = table->levels.insert(level, {device.milli, {}});
  Demand demand;
  demand.cpu_milli = task.shape.cpu_milli;
  demand.count = device.count;
  demand.popularity = task.popularity;
  demand.usable_per_cpu = rule == FragmentRule::kWhileCpuLasts && task.shape.cpu_milli > 0
                              ? kCpuSlack * static_cast<double>(device.total_milli()) /
                                    static_cast<double>(task.shape.cpu_milli)
                              : std::numeric_limits<double>::infinity();
  level->demands.push_back(demand);
}

NodeProfile FragmentationModel::Profile(const NodeState& node) const {
  NodeProfile profile;
  profile.cpu_milli = node.cpu_milli_free;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (!node.devices[i].healthy) continue;
    const std::string& name = node.spec.devices[i].kind;
    int kind = profile.FindKind(name);
    if (kind < 0) {
      kind = static_cast<int>(profile.kinds.size());
      profile.kinds.emplace_back();
      profile.kinds[kind].name = &name;
      for (size_t t = 0; t < tables_.size(); ++t) {
        if (tables_[t].kind == name) profile.kinds[kind].table = static_cast<int>(t);
      }
    }
    profile.kinds[kind].left.push_back(node.devices[i].milli_free);
    profile.kinds[kind].index.push_back(static_cast<int32_t>(i));
  }
  return profile;
}

double FragmentationModel::Of(const NodeProfile& node) const {
  double sum = 0;
  for (const NodeProfile::Kind& kind : node.kinds) sum += OfKind(kind, node.cpu_milli);
  return sum;
}

// What is left, less what each typical task could use of it.
double FragmentationModel::OfKind(const NodeProfile::Kind& kind, int64_t cpu_milli) const {
  int64_t left_sum = 0;
  for (int32_t left : kind.left) left_sum += left;
  double fragment = static_cast<double>(left_sum);
  if (kind.table < 0 || left_sum == 0) return fragment;
  const auto cpu = static_cast<double>(cpu_milli);
  for (const Level& level : tables_[kind.table].levels) {
    int32_t count = 0;
    int64_t usable_sum = 0;
    for (int32_t left : kind.left) {
      const bool fits = left >= level.milli;
      usable_sum += fits ? left : 0;
      count += fits ? 1 : 0;
    }
    if (count == 0) continue;
    const auto usable = static_cast<double>(usable_sum);
    for (const Demand& demand : level.demands) {
      if (demand.cpu_milli > cpu_milli || demand.count > count) continue;
      fragment -= demand.popularity * std::min(usable, cpu * demand.usable_per_cpu);
    }
  }
  return fragment;
}

double Fragmentation(const NodeState& node, const std::vector<TypicalTask>& typical_tasks) {
  const FragmentationModel model(typical_tasks, FragmentRule::kNextTask);
  return model.Of(model.Profile(node));
}

}  // namespace oneai::fabric
