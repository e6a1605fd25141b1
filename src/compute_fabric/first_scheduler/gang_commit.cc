#include "compute_fabric/first_scheduler/gang_commit.h"

#include <algorithm>

#include "compute_fabric/first_scheduler/quota.h"
#include "compute_fabric/first_scheduler/rank_nodes.h"

namespace oneai::fabric::inline first {
namespace {

// Free ports, beginning at a place that depends on the attempt: a port that was just closed may
// still be in TIME_WAIT.
std::vector<int> TakePorts(NodeSnapshot& node, int64_t num_ports, uint64_t seed) {
  std::vector<int> ports;
  const int64_t range = node.num_ports();
  for (int64_t i = 0; i < range && static_cast<int64_t>(ports.size()) < num_ports; ++i) {
    const int port = node.port_first + static_cast<int>((seed % range + i) % range);
    if (node.ports_used.insert(port).second) ports.push_back(port);
  }
  return ports;
}

std::vector<std::string> TakeDevices(NodeSnapshot& node, const DeviceAlternative& wanted) {
  std::vector<std::string> ids;
  for (DeviceSnapshot& device : node.devices) {
    if (static_cast<int64_t>(ids.size()) == wanted.count) break;
    if (device.kind != wanted.kind || !device.healthy || device.in_use) continue;
    device.in_use = true;
    ids.push_back(device.id);
  }
  return ids;
}

TaskPlacement Take(const PendingJob& job, int rank, NodeSnapshot& node,
                   const DeviceAlternative* device) {
  TaskPlacement task{.rank = rank, .node = node.name, .address = node.address};
  node.cpu_milli_used += job.shape.cpu_milli;
  node.memory_bytes_used += job.shape.memory_bytes;
  task.ports = TakePorts(node, job.shape.num_ports, job.port_seed);
  if (device != nullptr) {
    task.device = *device;
    task.device_ids = TakeDevices(node, *device);
  }
  return task;
}

// One job being placed: the cluster as it would be, and what has been placed so far.
struct Draft {
  std::vector<NodeSnapshot> nodes;
  QueueSnapshot queue;
  std::vector<TaskPlacement> tasks;
  std::map<std::string, int64_t> held;
};

Draft NewDraft(const PendingJob& job, const std::vector<NodeSnapshot>& nodes,
               const QueueSnapshot& queue) {
  Draft draft{.nodes = nodes, .queue = queue};
  for (const std::string& node : job.nodes_held) ++draft.held[node];
  return draft;
}

// How many of `num_tasks` the project's quota admits with this device.
int64_t NumWithinQuota(const PendingJob& job, const QueueSnapshot& queue,
                       const DeviceAlternative* device, int64_t num_tasks) {
  TaskShape shape = job.shape;
  shape.devices.clear();
  if (device != nullptr) shape.devices.push_back(*device);
  while (num_tasks > 0 && !QuotaBlockers(job.project, queue, shape, num_tasks).empty()) --num_tasks;
  return num_tasks;
}

// Places the next ranks with one device choice, as many as fit.
void Extend(const PendingJob& job, const DeviceAlternative* device, Draft& draft) {
  const size_t first = draft.tasks.size();
  const int64_t wanted =
      NumWithinQuota(job, draft.queue, device, static_cast<int64_t>(job.ranks.size() - first));
  std::vector<std::string> chosen =
      RankNodes(draft.nodes, job.shape, device, job.spread, wanted, draft.held);
  std::vector<TaskPlacement> placed;
  for (size_t i = 0; i < chosen.size(); ++i) {
    auto node = std::find_if(draft.nodes.begin(), draft.nodes.end(),
                             [&](const NodeSnapshot& n) { return n.name == chosen[i]; });
    placed.push_back(Take(job, job.ranks[first + i], *node, device));
    ++draft.held[chosen[i]];
  }
  ChargeQuota(draft.queue, job.shape, placed);
  draft.tasks.insert(draft.tasks.end(), placed.begin(), placed.end());
}

}  // namespace

std::vector<TaskPlacement> CommitJob(const PendingJob& job, std::vector<NodeSnapshot>& nodes,
                                     QueueSnapshot& queue) {
  const std::vector<const DeviceAlternative*> devices = RankDevices(job.shape);
  const auto install = [&](Draft& draft) {
    nodes = std::move(draft.nodes);
    queue = std::move(draft.queue);
    return std::move(draft.tasks);
  };
  if (job.gang) {
    for (const DeviceAlternative* device : devices) {
      Draft draft = NewDraft(job, nodes, queue);
      Extend(job, device, draft);
      if (draft.tasks.size() == job.ranks.size()) return install(draft);
    }
  }
  Draft draft = NewDraft(job, nodes, queue);
  for (const DeviceAlternative* device : devices) Extend(job, device, draft);
  if (job.gang && draft.tasks.size() < job.ranks.size()) return {};
  return install(draft);
}

}  // namespace oneai::fabric::inline first
