#include "compute_fabric/scheduler/choose_nodes.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

namespace oneai::fabric {
namespace {

NodeChoice ChoiceOf(const Candidate& candidate, int32_t num_tasks) {
  return {candidate.node, num_tasks, candidate.nvlink_domain, candidate.device};
}

std::vector<NodeChoice> ChooseOne(const ChoiceRequest& request, CandidateSource candidates) {
  std::vector<NodeChoice> choices;
  candidates([&](const Candidate& candidate) {
    if (!request.may_use(candidate.node)) return true;
    choices.push_back(ChoiceOf(candidate, 1));
    return false;
  });
  return choices;
}

// Candidates by the tasks they have room for (at most `cap`), each list best first.
class RoomLists {
 public:
  explicit RoomLists(int32_t cap) : lists_(static_cast<size_t>(cap) + 1), next_(lists_.size(), 0) {}

  void Add(const Candidate& candidate, int32_t room) { lists_[room].push_back(candidate); }
  // The candidate to put `wanted` tasks on: the tightest that has room for all, else the roomiest.
  // Null: none is left.
  const Candidate* Take(int32_t wanted) {
    const int32_t cap = static_cast<int32_t>(lists_.size()) - 1;
    for (int32_t room = std::min(wanted, cap); room <= cap; ++room) {
      if (HasNext(room)) return &lists_[room][next_[room]++];
    }
    for (int32_t room = std::min(wanted, cap) - 1; room > 0; --room) {
      if (HasNext(room)) return &lists_[room][next_[room]++];
    }
    return nullptr;
  }

 private:
  bool HasNext(int32_t room) const { return next_[room] < lists_[room].size(); }

  std::vector<std::vector<Candidate>> lists_;
  std::vector<size_t> next_;
};

std::vector<NodeChoice> Pack(const ChoiceRequest& request, CandidateSource candidates) {
  constexpr int32_t kRoomMax = 1024;
  constexpr int32_t kNumFitMax = 64;
  int32_t cap = std::min(request.num_tasks, kRoomMax);
  if (request.num_fit_max < kNumFitMax) cap = std::min(cap, request.num_fit_max);
  if (cap <= 0) return {};
  RoomLists lists(cap);
  int64_t room_in_largest = 0;
  candidates([&](const Candidate& candidate) {
    const int32_t room = std::min(candidate.num_fit, cap);
    if (room == cap) {
      if (!request.may_use(candidate.node)) return true;
      room_in_largest += cap;
    }
    lists.Add(candidate, room);
    return room_in_largest < request.num_tasks;
  });
  std::vector<NodeChoice> choices;
  int32_t left = request.num_tasks;
  while (left > 0) {
    const Candidate* candidate = lists.Take(left);
    if (candidate == nullptr) break;
    // Those with room for `cap` were asked above.
    if (candidate->num_fit < cap && !request.may_use(candidate->node)) continue;
    const int32_t num_tasks = std::min(left, candidate->num_fit);
    choices.push_back(ChoiceOf(*candidate, num_tasks));
    left -= num_tasks;
  }
  return choices;
}

// One task on each node that the job does not hold.
std::vector<NodeChoice> OnePerNode(const ChoiceRequest& request, CandidateSource candidates) {
  std::vector<NodeChoice> choices;
  absl::flat_hash_map<NodeIndex, bool> chosen;  // a node comes once per NVLink domain
  candidates([&](const Candidate& candidate) {
    if (request.held->OnNode(candidate.node) > 0 || !request.may_use(candidate.node)) return true;
    if (!chosen.emplace(candidate.node, true).second) return true;
    choices.push_back(ChoiceOf(candidate, 1));
    return static_cast<int32_t>(choices.size()) < request.num_tasks;
  });
  return choices;
}

struct Spread {
  Candidate candidate;
  int32_t num_held = 0;
  int32_t num_chosen = 0;
};

// Those that may be used, best first.
std::vector<Spread> Usable(const ChoiceRequest& request, CandidateSource candidates) {
  std::vector<Spread> usable;
  candidates([&](const Candidate& candidate) {
    if (request.may_use(candidate.node)) {
      usable.push_back({candidate, request.held->OnNode(candidate.node), 0});
    }
    return true;
  });
  return usable;
}

std::vector<NodeChoice> ChoicesOf(const std::vector<Spread>& spread) {
  std::vector<NodeChoice> choices;
  for (const Spread& node : spread) {
    if (node.num_chosen > 0) choices.push_back(ChoiceOf(node.candidate, node.num_chosen));
  }
  return choices;
}

std::vector<NodeChoice> SpreadOverNodes(const ChoiceRequest& request, CandidateSource candidates) {
  std::vector<NodeChoice> one_each = OnePerNode(request, candidates);
  if (static_cast<int32_t>(one_each.size()) == request.num_tasks) return one_each;
  std::vector<Spread> nodes = Usable(request, candidates);
  using Entry = std::pair<int32_t, size_t>;  // tasks, place in best-first order
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> fewest;
  for (size_t i = 0; i < nodes.size(); ++i) fewest.emplace(nodes[i].num_held, i);
  for (int32_t left = request.num_tasks; left > 0 && !fewest.empty(); --left) {
    const auto [num_tasks, i] = fewest.top();
    fewest.pop();
    if (++nodes[i].num_chosen < nodes[i].candidate.num_fit) fewest.emplace(num_tasks + 1, i);
  }
  return ChoicesOf(nodes);
}

std::vector<NodeChoice> SpreadOverRacks(const ChoiceRequest& request, CandidateSource candidates) {
  std::vector<Spread> nodes = Usable(request, candidates);
  std::vector<std::vector<size_t>> racks;  // in order of their best node
  std::vector<int32_t> rack_ids;
  absl::flat_hash_map<int32_t, size_t> rack_of;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const NodeState& node = request.cluster->node(nodes[i].candidate.node);
    const int32_t rack = node.domain[static_cast<int>(TopologyLevel::kRack)];
    const auto [it, added] = rack_of.try_emplace(rack, racks.size());
    if (added) {
      racks.emplace_back();
      rack_ids.push_back(rack);
    }
    racks[it->second].push_back(i);
  }
  using Entry = std::pair<int32_t, size_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> fewest;
  for (size_t r = 0; r < racks.size(); ++r) fewest.emplace(request.held->OnRack(rack_ids[r]), r);
  for (int32_t left = request.num_tasks; left > 0 && !fewest.empty();) {
    const auto [num_tasks, r] = fewest.top();
    fewest.pop();
    Spread* best = nullptr;
    for (const size_t i : racks[r]) {
      Spread& node = nodes[i];
      if (node.num_chosen >= node.candidate.num_fit) continue;
      if (best == nullptr || node.num_held + node.num_chosen < best->num_held + best->num_chosen) {
        best = &node;
      }
    }
    if (best == nullptr) continue;  // the rack is full
    ++best->num_chosen;
    --left;
    fewest.emplace(num_tasks + 1, r);
  }
  return ChoicesOf(nodes);
}

}  // namespace

int64_t NumTasks(const std::vector<NodeChoice>& choices) {
  int64_t sum = 0;
  for (const NodeChoice& choice : choices) sum += choice.num_tasks;
  return sum;
}

void HeldTasks::Add(const ClusterState& cluster, const std::vector<TaskPlacement>& tasks) {
  for (const TaskPlacement& task : tasks) {
    const NodeIndex node = cluster.Find(task.node);
    if (node == kNoNode) continue;
    ++on_node[node];
    ++on_rack[cluster.node(node).domain[static_cast<int>(TopologyLevel::kRack)]];
  }
}

void HeldTasks::Add(const ClusterState& cluster, const std::vector<NodeChoice>& choices) {
  for (const NodeChoice& choice : choices) {
    on_node[choice.node] += choice.num_tasks;
    on_rack[cluster.node(choice.node).domain[static_cast<int>(TopologyLevel::kRack)]] +=
        choice.num_tasks;
  }
}

int32_t HeldTasks::OnNode(NodeIndex node) const {
  const auto it = on_node.find(node);
  return it == on_node.end() ? 0 : it->second;
}

int32_t HeldTasks::OnRack(int32_t rack) const {
  const auto it = on_rack.find(rack);
  return it == on_rack.end() ? 0 : it->second;
}

std::vector<NodeChoice> ChooseNodes(const ChoiceRequest& request, CandidateSource candidates) {
  switch (request.spread) {
    case SpreadPolicy::kPack:
      if (request.num_tasks == 1) return ChooseOne(request, candidates);
      return Pack(request, candidates);
    case SpreadPolicy::kNode:
      return OnePerNode(request, candidates);
    case SpreadPolicy::kNodePreferred:
      return SpreadOverNodes(request, candidates);
    case SpreadPolicy::kRackPreferred:
      return SpreadOverRacks(request, candidates);
  }
  return {};
}

}  // namespace oneai::fabric
