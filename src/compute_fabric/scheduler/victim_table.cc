#include "compute_fabric/scheduler/victim_table.h"

#include "absl/container/flat_hash_map.h"
#include "compute_fabric/scheduler/preempt.h"

namespace oneai::fabric {
namespace {

VictimPiece PieceOf(const TaskShape& shape, const NodeRelease& task, int32_t victim) {
  VictimPiece piece;
  piece.victim = victim;
  piece.node = task.node;
  piece.cpu_milli = shape.cpu_milli;
  piece.memory_bytes = shape.memory_bytes;
  piece.num_ports = shape.num_ports;
  for (const TaskRelease::Device& device : task.release.devices) {
    piece.devices.emplace_back(device.index, device.milli);
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

VictimTable MakeVictimTable(SchedulerState& state, absl::Time now) {
  VictimTable table;
  absl::flat_hash_map<std::string, int32_t> queue_index;
  table.victims.reserve(state.jobs.num_running());
  table.pieces.reserve(state.jobs.num_running());
  state.jobs.VisitRunningJobs([&](RunningJob& running) {
    const JobView& job = *running.view;
    if (!job.preemptible || job.stopping || job.placed.empty()) return true;
    Victim victim;
    victim.job = &job;
    const auto [queue, added] =
        queue_index.emplace(job.queue, static_cast<int32_t>(table.queues.size()));
    if (added) table.queues.push_back(job.queue);
    victim.queue = queue->second;
    victim.cost = EvictionCost(job, now);
    victim.first_piece = static_cast<int32_t>(table.pieces.size());
    for (const NodeRelease& task : running.releases.Of(state.cluster, job)) {
      table.pieces.push_back(PieceOf(job.shape, task, static_cast<int32_t>(table.victims.size())));
    }
    victim.num_pieces = static_cast<int32_t>(table.pieces.size()) - victim.first_piece;
    table.victims.push_back(victim);
    return true;
  });
  IndexByNode(table, state.cluster.num_indexes());
  return table;
}

}  // namespace oneai::fabric
