#include "compute_fabric/first_scheduler/rank_nodes.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "compute_fabric/first_scheduler/filter_nodes.h"

namespace oneai::fabric::inline first {
namespace {

struct Candidate {
  const NodeSnapshot* node;
  int64_t room;  // tasks that still fit
  int64_t held;  // tasks of the job that it has
};

// How many devices of the node the task would sit beside without use. The CPU is listed as a device
// too, on every node alike.
int64_t NumDevicesNotAskedFor(const NodeSnapshot& node, const DeviceAlternative* device) {
  return std::count_if(node.devices.begin(), node.devices.end(), [&](const DeviceSnapshot& d) {
    return device == nullptr || d.kind != device->kind;
  });
}

// Smaller is better; the last word among candidates that the policy finds equal.
auto NearEqualOrder(const Candidate& candidate, const DeviceAlternative* device) {
  return std::make_tuple(NumDevicesNotAskedFor(*candidate.node, device),
                         candidate.node->cpu_milli_free(), std::cref(candidate.node->name));
}

std::vector<std::string> Pack(std::vector<Candidate> candidates, const DeviceAlternative* device,
                              int64_t num_tasks) {
  std::vector<std::string> chosen;
  while (static_cast<int64_t>(chosen.size()) < num_tasks && !candidates.empty()) {
    const int64_t rest = num_tasks - static_cast<int64_t>(chosen.size());
    auto best = std::min_element(
        candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
          auto key = [&](const Candidate& c) {
            const bool takes_all = c.room >= rest;
            const int64_t wasted = takes_all ? NumDevicesNotAskedFor(*c.node, device) : 0;
            return std::make_tuple(!takes_all, wasted, takes_all ? c.room : -c.room, -c.held);
          };
          if (key(a) != key(b)) return key(a) < key(b);
          return NearEqualOrder(a, device) < NearEqualOrder(b, device);
        });
    for (int64_t i = 0; i < std::min(rest, best->room); ++i) chosen.push_back(best->node->name);
    candidates.erase(best);
  }
  return chosen;
}

std::vector<std::string> SpreadOut(std::vector<Candidate> candidates,
                                   const DeviceAlternative* device, SpreadPolicy spread,
                                   int64_t num_tasks) {
  std::vector<std::string> chosen;
  while (static_cast<int64_t>(chosen.size()) < num_tasks) {
    Candidate* best = nullptr;
    for (Candidate& candidate : candidates) {
      if (candidate.room == 0 || (spread == SpreadPolicy::kNode && candidate.held > 0)) continue;
      if (best == nullptr || candidate.held < best->held ||
          (candidate.held == best->held &&
           NearEqualOrder(candidate, device) < NearEqualOrder(*best, device))) {
        best = &candidate;
      }
    }
    if (best == nullptr) return chosen;
    chosen.push_back(best->node->name);
    --best->room;
    ++best->held;
  }
  return chosen;
}

}  // namespace

std::vector<const DeviceAlternative*> RankDevices(const TaskShape& shape) {
  if (shape.devices.empty()) return {nullptr};
  std::vector<const DeviceAlternative*> order;
  for (const DeviceAlternative& device : shape.devices) order.push_back(&device);
  std::stable_sort(order.begin(), order.end(),
                   [](const DeviceAlternative* a, const DeviceAlternative* b) {
                     return a->relative_throughput > b->relative_throughput;
                   });
  return order;
}

std::vector<std::string> RankNodes(const std::vector<NodeSnapshot>& nodes, const TaskShape& shape,
                                   const DeviceAlternative* device, SpreadPolicy spread,
                                   int64_t num_tasks, std::map<std::string, int64_t> held) {
  std::vector<Candidate> candidates;
  for (const NodeSnapshot& node : nodes) {
    const int64_t room = NumTasksThatFit(node, shape, device);
    if (room > 0) candidates.push_back({&node, room, held[node.name]});
  }
  if (spread == SpreadPolicy::kPack) return Pack(std::move(candidates), device, num_tasks);
  return SpreadOut(std::move(candidates), device, spread, num_tasks);
}

}  // namespace oneai::fabric::inline first
