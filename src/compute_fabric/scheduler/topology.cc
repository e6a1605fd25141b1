#include "compute_fabric/scheduler/topology.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"

namespace oneai::fabric {
namespace {

struct Domain {
  int32_t id = 0;
  int64_t room = 0;                // tasks; the gate may still refuse nodes
  std::vector<Candidate> members;  // best first
  int32_t index = -1;  // of the index's domains, when `members` are still to be asked for
};

// A node's candidate, split by NVLink domain where the node has several.
absl::InlinedVector<std::pair<int32_t, Candidate>, 2> ByNvlinkDomain(const TopologyRequest& request,
                                                                     const Candidate& candidate) {
  absl::InlinedVector<std::pair<int32_t, Candidate>, 2> parts;
  const ClusterState& cluster = *request.choice.cluster;
  const NodeState& node = cluster.node(candidate.node);
  const int32_t only = node.domain[static_cast<int>(TopologyLevel::kNvlink)];
  if (only >= 0) {
    parts.emplace_back(only, candidate);
    return parts;
  }
  for (const DeviceState& device : node.devices) {
    const auto known = std::find_if(parts.begin(), parts.end(),
                                    [&](const auto& part) { return part.first == device.domain; });
    if (known != parts.end()) continue;
    Candidate part = candidate;
    part.nvlink_domain = device.domain;
    part.num_fit = static_cast<int32_t>(cluster.NumFit(
        candidate.node, *request.shape, request.device, candidate.num_fit, device.domain));
    // The scorer's choice may lie in another domain.
    if (part.device >= 0 && node.devices[part.device].domain != device.domain) part.device = -1;
    parts.emplace_back(device.domain, part);
  }
  return parts;
}

// By a walk over all candidates.
std::vector<Domain> GroupByDomain(const TopologyRequest& request,
                                  const ShapeCandidates& candidates) {
  std::vector<Domain> domains;  // in order of their best member
  absl::flat_hash_map<int32_t, size_t> index;
  const auto add = [&](int32_t id, const Candidate& member) {
    if (member.num_fit == 0) return;
    int64_t room = member.num_fit;
    if (request.choice.spread == SpreadPolicy::kNode) {
      room = request.choice.held->OnNode(member.node) > 0 ? 0 : 1;
    }
    const auto [it, added] = index.try_emplace(id, domains.size());
    if (added) domains.push_back({id, 0, {}, -1});
    domains[it->second].members.push_back(member);
    domains[it->second].room += room;
  };
  const TopologyLevel level = request.wish.level;
  candidates.VisitBestFirst([&](const Candidate& candidate) {
    if (level == TopologyLevel::kNvlink && request.device != nullptr) {
      for (const auto& [id, part] : ByNvlinkDomain(request, candidate)) add(id, part);
    } else {
      // Tasks without devices know no NVLink: their host is as near as they get.
      const TopologyLevel of = level == TopologyLevel::kNvlink ? TopologyLevel::kHost : level;
      add(request.choice.cluster->node(candidate.node).domain[static_cast<int>(of)], candidate);
    }
    return true;
  });
  return domains;
}

std::vector<Domain> DomainsWithRoom(const TopologyRequest& request,
                                    const ShapeCandidates& candidates) {
  const bool is_known = request.device != nullptr || request.wish.level != TopologyLevel::kNvlink;
  const bool counts_nodes = request.choice.spread == SpreadPolicy::kNode;
  if (!is_known || (counts_nodes && !request.choice.held->on_node.empty())) {
    return GroupByDomain(request, candidates);
  }
  const std::optional<std::vector<DomainRoom>> rooms = candidates.Domains(request.wish.level);
  if (!rooms) return GroupByDomain(request, candidates);
  std::vector<Domain> domains;
  domains.reserve(rooms->size());
  for (const DomainRoom& room : *rooms) {
    domains.push_back({room.domain, counts_nodes ? room.num_nodes : room.num_fit, {}, room.index});
  }
  return domains;
}

bool IsHeld(const TopologyRequest& request, const Domain& domain) {
  return std::binary_search(request.held.begin(), request.held.end(), domain.id);
}

std::vector<NodeChoice> ChooseWithin(const TopologyRequest& request,
                                     const ShapeCandidates& candidates, const Domain& domain,
                                     int32_t num_tasks, const HeldTasks& held) {
  ChoiceRequest choice = request.choice;
  choice.held = &held;
  const std::vector<Candidate> asked_for =
      domain.index < 0 ? std::vector<Candidate>()
                       : candidates.InDomain(request.wish.level, domain.index);
  const std::vector<Candidate>& members = domain.index < 0 ? domain.members : asked_for;
  choice.num_tasks = num_tasks;
  int32_t most = 0;
  for (const Candidate& member : members) most = std::max(most, member.num_fit);
  choice.num_fit_max = std::min(most, 64);
  return ChooseNodes(choice, [&](VisitCandidate visit) {
    for (const Candidate& member : members) {
      if (!visit(member)) return;
    }
  });
}

// Those with room for `num_tasks`, in the order to try them.
std::vector<const Domain*> WithRoom(const TopologyRequest& request,
                                    const std::vector<Domain>& domains, int64_t num_tasks) {
  std::vector<const Domain*> fitting;
  for (const Domain& domain : domains) {
    if (domain.room >= num_tasks) fitting.push_back(&domain);
  }
  std::stable_sort(fitting.begin(), fitting.end(), [&](const Domain* a, const Domain* b) {
    const bool a_held = IsHeld(request, *a);
    const bool b_held = IsHeld(request, *b);
    if (a_held != b_held) return a_held;
    return a->room < b->room;
  });
  return fitting;
}

// All wanted in one domain; else the domain that takes most.
std::vector<NodeChoice> ChooseOneDomain(const TopologyRequest& request,
                                        const ShapeCandidates& candidates,
                                        const std::vector<Domain>& domains) {
  std::vector<NodeChoice> best;
  int64_t best_tasks = request.num_tasks_min - 1;
  const auto try_domain = [&](const Domain& domain) {
    std::vector<NodeChoice> choices =
        ChooseWithin(request, candidates, domain, request.choice.num_tasks, *request.choice.held);
    const int64_t num_tasks = NumTasks(choices);
    if (num_tasks <= best_tasks) return;
    best_tasks = num_tasks;
    best = std::move(choices);
  };
  for (const Domain* domain : WithRoom(request, domains, request.choice.num_tasks)) {
    try_domain(*domain);
    if (best_tasks == request.choice.num_tasks) return best;
  }
  std::vector<const Domain*> smaller;
  for (const Domain& domain : domains) {
    if (domain.room < request.choice.num_tasks) smaller.push_back(&domain);
  }
  std::stable_sort(smaller.begin(), smaller.end(),
                   [](const Domain* a, const Domain* b) { return a->room > b->room; });
  for (const Domain* domain : smaller) {
    if (domain->room <= best_tasks) break;
    try_domain(*domain);
  }
  return best;
}

// As few domains as a greedy choice finds.
std::vector<NodeChoice> ChooseFewDomains(const TopologyRequest& request,
                                         const ShapeCandidates& candidates,
                                         std::vector<Domain> domains) {
  std::vector<NodeChoice> choices;
  HeldTasks held = *request.choice.held;  // and what is chosen: a node may be in several domains
  int64_t left = request.choice.num_tasks;
  while (left > 0 && !domains.empty()) {
    const std::vector<const Domain*> fitting = WithRoom(request, domains, left);
    const Domain* next = fitting.empty() ? nullptr : fitting.front();
    if (next == nullptr) {
      next =
          &*std::max_element(domains.begin(), domains.end(), [&](const Domain& a, const Domain& b) {
            if (IsHeld(request, a) != IsHeld(request, b)) return IsHeld(request, b);
            return a.room < b.room;
          });
    }
    const std::vector<NodeChoice> part =
        ChooseWithin(request, candidates, *next, static_cast<int32_t>(left), held);
    left -= NumTasks(part);
    held.Add(*request.choice.cluster, part);
    choices.insert(choices.end(), part.begin(), part.end());
    domains.erase(domains.begin() + (next - domains.data()));
  }
  return choices;
}

// Hosts are the candidates themselves: the best one with room for all is met early.
std::vector<NodeChoice> ChooseHosts(const TopologyRequest& request,
                                    const ShapeCandidates& candidates) {
  const auto all = [&](VisitCandidate visit) { candidates.VisitBestFirst(visit); };
  // As few hosts as can be is what the spread policy says, or contradicts, by itself.
  if (!request.wish.required) return ChooseNodes(request.choice, all);
  Candidate best;
  int32_t best_tasks = request.num_tasks_min - 1;
  const bool one_each = request.choice.spread == SpreadPolicy::kNode;
  candidates.VisitBestFirst([&](const Candidate& candidate) {
    const NodeState& node = request.choice.cluster->node(candidate.node);
    const int32_t host = node.domain[static_cast<int>(TopologyLevel::kHost)];
    if (!request.held.empty() &&
        !std::binary_search(request.held.begin(), request.held.end(), host)) {
      return true;
    }
    int32_t num_tasks = std::min(candidate.num_fit, request.choice.num_tasks);
    if (one_each) num_tasks = request.choice.held->OnNode(candidate.node) > 0 ? 0 : 1;
    if (num_tasks <= best_tasks || !request.choice.may_use(candidate.node)) return true;
    best = candidate;
    best_tasks = num_tasks;
    return best_tasks < request.choice.num_tasks;
  });
  if (best.node == kNoNode) return {};
  return {{best.node, best_tasks, best.nvlink_domain, best.device}};
}

}  // namespace

std::vector<NodeChoice> ChooseInDomains(const TopologyRequest& request,
                                        const ShapeCandidates& candidates) {
  if (request.wish.level == TopologyLevel::kHost) return ChooseHosts(request, candidates);
  std::vector<Domain> domains = DomainsWithRoom(request, candidates);
  if (request.wish.required) {
    if (!request.held.empty()) {
      domains.erase(std::remove_if(domains.begin(), domains.end(),
                                   [&](const Domain& d) { return !IsHeld(request, d); }),
                    domains.end());
    }
    return ChooseOneDomain(request, candidates, domains);
  }
  for (const Domain* domain : WithRoom(request, domains, request.choice.num_tasks)) {
    std::vector<NodeChoice> choices =
        ChooseWithin(request, candidates, *domain, request.choice.num_tasks, *request.choice.held);
    if (NumTasks(choices) == request.choice.num_tasks) return choices;
  }
  return ChooseFewDomains(request, candidates, std::move(domains));
}

std::vector<int32_t> DomainsOf(const ClusterState& cluster, TopologyLevel level,
                               const std::vector<TaskPlacement>& tasks) {
  std::vector<int32_t> domains;
  for (const TaskPlacement& task : tasks) {
    const NodeIndex index = cluster.Find(task.node);
    if (index == kNoNode) continue;
    const NodeState& node = cluster.node(index);
    if (level != TopologyLevel::kNvlink || task.grants.empty()) {
      const TopologyLevel of = level == TopologyLevel::kNvlink ? TopologyLevel::kHost : level;
      domains.push_back(node.domain[static_cast<int>(of)]);
      continue;
    }
    for (const DeviceGrant& grant : task.grants) {
      for (size_t i = 0; i < node.devices.size(); ++i) {
        if (node.spec.devices[i].id == grant.id) domains.push_back(node.devices[i].domain);
      }
    }
  }
  std::sort(domains.begin(), domains.end());
  domains.erase(std::unique(domains.begin(), domains.end()), domains.end());
  return domains;
}

}  // namespace oneai::fabric
