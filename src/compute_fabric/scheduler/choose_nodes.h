// File: compute_fabric/scheduler/choose_nodes.h
//
// Which of the candidates the tasks of a job go to, by its spread policy. Nothing is taken yet.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "compute_fabric/scheduler/candidate_index.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

// `num_tasks` on one node.
struct NodeChoice {
  NodeIndex node = kNoNode;
  int32_t num_tasks = 0;
  int32_t nvlink_domain = kAnyDomain;
  int32_t device = -1;  // for the first of them, when it is a share
};
int64_t NumTasks(const std::vector<NodeChoice>& choices);

// Tasks that the job has already, by node and by rack.
struct HeldTasks {
  absl::flat_hash_map<NodeIndex, int32_t> on_node;
  absl::flat_hash_map<int32_t, int32_t> on_rack;

  void Add(const ClusterState& cluster, const std::vector<TaskPlacement>& tasks);
  void Add(const ClusterState& cluster, const std::vector<NodeChoice>& choices);
  int32_t OnNode(NodeIndex node) const;
  int32_t OnRack(int32_t rack) const;
};

// Candidates, best first, until the visitor returns false.
using VisitCandidate = absl::FunctionRef<bool(const Candidate&)>;
using CandidateSource = absl::FunctionRef<void(VisitCandidate)>;

struct ChoiceRequest {
  const ClusterState* cluster = nullptr;
  SpreadPolicy spread = SpreadPolicy::kPack;
  const HeldTasks* held = nullptr;
  absl::FunctionRef<bool(NodeIndex)> may_use;
  int32_t num_tasks = 0;     // at most so many
  int32_t num_fit_max = 64;  // of any candidate; 64: or more
};

// As many as can be had. kPack: one node if any has room for all, the best of them; else the
// fewest, the last one as tight as can be. kNode: one a node, on nodes the job does not hold.
// kNodePreferred: the nodes with fewest tasks of the job first. kRackPreferred: racks first.
// O(candidates) at worst; O(chosen) where the best ones will do.
std::vector<NodeChoice> ChooseNodes(const ChoiceRequest& request, CandidateSource candidates);

}  // namespace oneai::fabric
