#include "compute_fabric/scheduler/victim_table.h"

#include "absl/container/flat_hash_map.h"
#include "compute_fabric/scheduler/preempt.h"

namespace oneai::fabric {
namespace {

int32_t FindDevice(const NodeState& node, const std::string& id) {
  for (size_t i = 0; i < node.spec.devices.size(); ++i) {
    if (node.spec.devices[i].id == id) return static_cast<int32_t>(i);
  }
  return -1;
}

VictimPiece MakePiece(const SchedulerState& state, const JobView& job, const TaskPlacement& task,
                      int32_t victim) {
  VictimPiece piece;
  piece.victim = victim;
  piece.node = state.cluster.Find(task.node);
  piece.cpu_milli = job.shape.cpu_milli;
  piece.memory_bytes = job.shape.memory_bytes;
  piece.num_ports = job.shape.num_ports;
  if (piece.node == kNoNode) return piece;
  const NodeState& node = state.cluster.node(piece.node);
  for (const DeviceGrant& grant : task.grants) {
    const int32_t device = FindDevice(node, grant.id);
    if (device >= 0) piece.devices.emplace_back(device, grant.milli);
  }
  return piece;
}

void IndexByNode(VictimTable& table, NodeIndex num_nodes) {
  table.node_start.assign(num_nodes + 1, 0);
  for (const VictimPiece& piece : table.pieces) ++table.node_start[piece.node + 1];
  for (NodeIndex n = 0; n < num_nodes; ++n) table.node_start[n + 1] += table.node_start[n];
  table.on_node.resize(table.pieces.size());
  std::vector<int32_t> next(table.node_start.begin(), table.node_start.end() - 1);
  for (size_t i = 0; i < table.pieces.size(); ++i) {
    table.on_node[next[table.pieces[i].node]++] = static_cast<int32_t>(i);
  }
}

}  // namespace

VictimTable MakeVictimTable(const SchedulerState& state, absl::Time now) {
  VictimTable table;
  absl::flat_hash_map<std::string, int32_t> queue_index;
  table.victims.reserve(state.jobs.num_running());
  table.pieces.reserve(state.jobs.num_running());
  state.jobs.VisitRunning([&](const JobView& job) {
    if (!job.preemptible || job.stopping || job.placed.empty()) return true;
    Victim victim;
    victim.job = &job;
    const auto [queue, added] =
        queue_index.emplace(job.queue, static_cast<int32_t>(table.queues.size()));
    if (added) table.queues.push_back(job.queue);
    victim.queue = queue->second;
    victim.cost = EvictionCost(job, now);
    victim.first_piece = static_cast<int32_t>(table.pieces.size());
    for (const TaskPlacement& task : job.placed) {
      VictimPiece piece = MakePiece(state, job, task, static_cast<int32_t>(table.victims.size()));
      if (piece.node != kNoNode) table.pieces.push_back(std::move(piece));
    }
    victim.num_pieces = static_cast<int32_t>(table.pieces.size()) - victim.first_piece;
    table.victims.push_back(victim);
    return true;
  });
  IndexByNode(table, state.cluster.num_indexes());
  return table;
}

}  // namespace oneai::fabric
