#include "compute_fabric/scheduler/score/fragmentation.h"

#include <algorithm>

namespace oneai::fabric {

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

FragmentationModel::FragmentationModel(const std::vector<TypicalTask>& typical_tasks) {
  for (const TypicalTask& task : typical_tasks) {
    std::vector<bool> seen(tables_.size(), false);
    for (const DeviceAlternative& device : task.shape.devices) {
      size_t i = 0;
      while (i < tables_.size() && tables_[i].kind != device.kind) ++i;
      if (i == tables_.size()) tables_.push_back({device.kind, {}});
      if (i >= seen.size()) seen.resize(i + 1, false);
      if (seen[i]) continue;
      seen[i] = true;
      tables_[i].demands.push_back(
          {task.shape.cpu_milli, device.milli, device.count, task.popularity});
    }
  }
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

// What is left, less what each typical task could use of it. Tasks that do not accept the kind (or
// want no device) could use nothing: to them all that is left is a fragment.
double FragmentationModel::OfKind(const NodeProfile::Kind& kind, int64_t cpu_milli) const {
  int64_t left_sum = 0;
  for (int32_t left : kind.left) left_sum += left;
  double fragment = static_cast<double>(left_sum);
  if (kind.table < 0) return fragment;
  for (const Demand& demand : tables_[kind.table].demands) {
    if (demand.cpu_milli > cpu_milli) continue;
    int32_t count = 0;
    int64_t usable = 0;
    for (int32_t left : kind.left) {
      if (left < demand.milli) continue;
      usable += left;
      ++count;
    }
    if (count >= demand.count) fragment -= demand.popularity * static_cast<double>(usable);
  }
  return fragment;
}

double Fragmentation(const NodeState& node, const std::vector<TypicalTask>& typical_tasks) {
  const FragmentationModel model(typical_tasks);
  return model.Of(model.Profile(node));
}

}  // namespace oneai::fabric
