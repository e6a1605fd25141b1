#include "compute_fabric/scheduler/start_search.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/cluster/node_fit.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kTick = absl::Nanoseconds(1);

// Tasks that a node has room for in one group. A group is what the tasks must share: a domain of
// the required level, or nothing (group 0).
using Rooms = absl::InlinedVector<std::pair<int32_t, int64_t>, 1>;  // group, tasks

// The room for one device alternative, node by node and summed by group.
struct AlternativeRoom {
  const DeviceAlternative* device = nullptr;
  int32_t kind = -1;
  std::vector<Rooms> by_node;
  absl::flat_hash_map<int32_t, int64_t> sums;
  std::vector<int32_t> full;  // groups that have reached the need, since last looked at
};

class Search {
 public:
  Search(SchedulerState& state, const JobView& job, absl::Time now, const KeptPlaces& kept,
         ReleaseEvents& releases)
      : state_(state), job_(job), kept_(kept), releases_(releases), time_(now) {
    need_ = job.gang ? std::max(1, job.tasks_min) : 1;
    if (job.topology && job.topology->required) level_ = job.topology->level;
  }

  std::optional<FoundStart> Run(Horizon horizon);

 private:
  bool CouldServe(NodeIndex node) const;
  bool IsRelevant(NodeIndex node);
  void Begin();
  void AddInstants(NodeIndex node);
  // The earliest instant ahead at which something changes; InfiniteFuture: none.
  absl::Time NextInstant();
  // Moves the clock there and brings the room up to date.
  void StepTo(absl::Time time);
  void Refresh(NodeIndex node);
  int64_t CapOn(const NodeState& node) const;
  int64_t RoomOn(NodeIndex node, const AlternativeRoom& alternative, int32_t nvlink_domain) const;
  Rooms RoomsOn(NodeIndex node, const AlternativeRoom& alternative) const;
  std::optional<FoundStart> Choose();
  FoundStart ChooseNodes(const AlternativeRoom& alternative, int32_t group) const;

  SchedulerState& state_;
  const JobView& job_;
  const KeptPlaces& kept_;
  ReleaseEvents& releases_;
  int64_t need_ = 1;
  std::optional<TopologyLevel> level_;

  absl::Time time_;
  enum class Relevance : char { kUnknown, kNo, kYes };
  std::vector<Relevance> relevant_;
  std::vector<AlternativeRoom> alternatives_;
  // What is free at time_ on nodes where something has been released; others are as they are now.
  const NodeRoom* FindFreed(NodeIndex node) const {
    return freed_slot_[node] < 0 ? nullptr : &freed_[freed_slot_[node]];
  }
  NodeRoom& Freed(NodeIndex node);
  std::vector<int32_t> freed_slot_;  // by node, index in freed_; -1: none
  std::vector<NodeRoom> freed_;
  size_t next_release_ = 0;
  std::vector<std::pair<absl::Time, NodeIndex>> instants_;  // holds and kept places, by time
  size_t next_instant_ = 0;
  std::vector<int64_t> room_before_;  // kAllEnds: by node, when the known ends have passed
};

bool Search::CouldServe(NodeIndex node) const {
  if (!state_.cluster.IsNode(node)) return false;
  const NodeState& state = state_.cluster.node(node);
  if (!state.schedulable() || !MatchesSelector(state.spec, job_.shape.node_selector)) return false;
  if (job_.shape.devices.empty()) return true;
  return std::any_of(alternatives_.begin(), alternatives_.end(), [&](const AlternativeRoom& a) {
    return std::any_of(state.devices.begin(), state.devices.end(), [&](const DeviceState& device) {
      return device.kind == a.kind && device.healthy;
    });
  });
}

bool Search::IsRelevant(NodeIndex node) {
  Relevance& relevance = relevant_[node];
  if (relevance == Relevance::kUnknown) {
    relevance = CouldServe(node) ? Relevance::kYes : Relevance::kNo;
  }
  return relevance == Relevance::kYes;
}

int64_t Search::CapOn(const NodeState& node) const {
  if (job_.spread != SpreadPolicy::kNode) return need_;
  const bool used =
      std::any_of(job_.placed.begin(), job_.placed.end(),
                  [&](const TaskPlacement& task) { return task.node == node.spec.name; });
  return used ? 0 : 1;
}

int64_t Search::RoomOn(NodeIndex node, const AlternativeRoom& alternative,
                       int32_t nvlink_domain) const {
  const NodeState& state = state_.cluster.node(node);
  const int64_t cap = CapOn(state);
  if (cap == 0) return 0;
  const bool has_calendar = !state.spec.holds.empty() || !job_.reservation.empty();
  if (has_calendar && !MayUse(state.spec, job_, time_, nullptr)) return 0;
  const NodeRoom* freed = FindFreed(node);
  if (!kept_.HasAny(node)) {
    if (freed == nullptr) {
      return state_.cluster.NumFit(node, job_.shape, alternative.device, cap, nvlink_domain);
    }
    return NumFitInRoom(*freed, state.spec, job_.shape, alternative.device, alternative.kind, cap,
                        nvlink_domain);
  }
  return kept_.NumFitBeside(node, freed == nullptr ? RoomOf(state) : *freed, releases_, job_.shape,
                            alternative.device, cap, nvlink_domain, time_, time_ + job_.time_limit);
}

Rooms Search::RoomsOn(NodeIndex node, const AlternativeRoom& alternative) const {
  Rooms rooms;
  const NodeState& state = state_.cluster.node(node);
  if (level_ == TopologyLevel::kNvlink && alternative.device != nullptr) {
    for (const DeviceState& device : state.devices) {
      const bool seen = std::any_of(rooms.begin(), rooms.end(),
                                    [&](const auto& r) { return r.first == device.domain; });
      if (seen || device.kind != alternative.kind) continue;
      rooms.emplace_back(device.domain, RoomOn(node, alternative, device.domain));
    }
    return rooms;
  }
  int32_t group = 0;
  // Tasks without devices know no NVLink: their host is as near as they get.
  if (level_ == TopologyLevel::kHost || level_ == TopologyLevel::kNvlink) group = node;
  if (level_ == TopologyLevel::kRack || level_ == TopologyLevel::kZone) {
    group = state.domain[static_cast<size_t>(*level_)];
  }
  rooms.emplace_back(group, RoomOn(node, alternative, kAnyDomain));
  return rooms;
}

void Search::Refresh(NodeIndex node) {
  for (AlternativeRoom& alternative : alternatives_) {
    Rooms& rooms = alternative.by_node[node];
    Rooms now = RoomsOn(node, alternative);
    // Most releases make no room for a task yet. A group that is full is told by who filled it.
    if (now == rooms) continue;
    for (const auto& [group, num] : rooms) alternative.sums[group] -= num;
    rooms = std::move(now);
    for (const auto& [group, num] : rooms) {
      if (num == 0) continue;
      int64_t& sum = alternative.sums[group];
      sum += num;
      if (sum >= need_) alternative.full.push_back(group);
    }
  }
}

// The instants at which a relevant node becomes usable, or ceases to be, for reasons other than
// releases.
void Search::AddInstants(NodeIndex node) {
  if (!IsRelevant(node)) return;
  const auto add = [&](absl::Time time) {
    if (time > time_ && time < absl::InfiniteFuture()) instants_.emplace_back(time, node);
  };
  for (const NodeHold& hold : state_.cluster.node(node).spec.holds) {
    add(hold.start);
    add(hold.start - job_.time_limit + kTick);
    add(hold.end);
  }
  for (const KeptPlace& place : kept_.On(node)) {
    add(place.plan->start - job_.time_limit + kTick);
    add(place.end);
  }
}

void Search::Begin() {
  if (job_.shape.devices.empty()) alternatives_.emplace_back();
  for (const DeviceAlternative& device : job_.shape.devices) {
    alternatives_.push_back({.device = &device, .kind = state_.cluster.KindOf(device.kind)});
  }
  const NodeIndex num = state_.cluster.num_indexes();
  relevant_.assign(num, Relevance::kUnknown);
  freed_slot_.assign(num, -1);
  for (AlternativeRoom& alternative : alternatives_) alternative.by_node.resize(num);
  // A node without room for one task now has none until something changes there.
  absl::flat_hash_set<NodeIndex> seen;
  for (const AlternativeRoom& alternative : alternatives_) {
    std::vector<NodeIndex> nodes;
    state_.candidates.Of(state_.cluster, job_.shape, alternative.device)
        .VisitBestFirst([&](const Candidate& candidate) {
          nodes.push_back(candidate.node);
          return true;
        });
    for (NodeIndex node : nodes) {
      if (seen.insert(node).second && IsRelevant(node)) Refresh(node);
    }
  }
  for (NodeIndex node : kept_.Nodes()) AddInstants(node);
  std::sort(instants_.begin(), instants_.end());
}

absl::Time Search::NextInstant() {
  absl::Time next = absl::InfiniteFuture();
  const ReleaseEvent* release = releases_.At(next_release_);
  while (release != nullptr && !IsRelevant(release->node)) release = releases_.At(++next_release_);
  if (release != nullptr) next = release->end;
  if (next_instant_ < instants_.size()) next = std::min(next, instants_[next_instant_].first);
  return next;
}

NodeRoom& Search::Freed(NodeIndex node) {
  if (freed_slot_[node] < 0) {
    freed_slot_[node] = static_cast<int32_t>(freed_.size());
    freed_.push_back(RoomOf(state_.cluster.node(node)));
  }
  return freed_[freed_slot_[node]];
}

void Search::StepTo(absl::Time time) {
  time_ = time;
  absl::InlinedVector<NodeIndex, 8> changed;
  for (; next_instant_ < instants_.size() && instants_[next_instant_].first <= time;
       ++next_instant_) {
    changed.push_back(instants_[next_instant_].second);
  }
  for (const ReleaseEvent* release = releases_.At(next_release_);
       release != nullptr && release->end <= time; release = releases_.At(++next_release_)) {
    if (!IsRelevant(release->node)) continue;
    GiveBack(Freed(release->node), release->release);
    changed.push_back(release->node);
  }
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  for (NodeIndex node : changed) Refresh(node);
}

FoundStart Search::ChooseNodes(const AlternativeRoom& alternative, int32_t group) const {
  std::vector<std::pair<NodeIndex, int64_t>> candidates;
  for (NodeIndex node = 0; node < static_cast<NodeIndex>(relevant_.size()); ++node) {
    for (const auto& [of_group, num] : alternative.by_node[node]) {
      if (of_group == group && num > 0) candidates.emplace_back(node, num);
    }
  }
  std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    if (!room_before_.empty() && room_before_[a.first] != room_before_[b.first]) {
      return room_before_[a.first] > room_before_[b.first];
    }
    return state_.cluster.node(a.first).rank < state_.cluster.node(b.first).rank;
  });
  FoundStart found{.start = time_, .device = alternative.device};
  int64_t left = need_;
  for (auto& [node, num] : candidates) {
    if (left == 0) break;
    num = std::min(num, left);
    left -= num;
    found.nodes.emplace_back(node, num);
  }
  return found;
}

std::optional<FoundStart> Search::Choose() {
  std::optional<FoundStart> found;
  for (AlternativeRoom& alternative : alternatives_) {
    // A group may have been full for a moment only, while others were brought up to date.
    std::sort(alternative.full.begin(), alternative.full.end());
    for (int32_t group : alternative.full) {
      if (found || alternative.sums[group] < need_) continue;
      found = ChooseNodes(alternative, group);
    }
    alternative.full.clear();
  }
  return found;
}

std::optional<FoundStart> Search::Run(Horizon horizon) {
  Begin();
  std::optional<FoundStart> found = Choose();
  for (absl::Time next; !found && (next = NextInstant()) < absl::InfiniteFuture();) {
    StepTo(next);
    found = Choose();
  }
  if (found || horizon == Horizon::kKnownEnds) return found;
  room_before_.assign(relevant_.size(), 0);
  for (const AlternativeRoom& alternative : alternatives_) {
    for (size_t node = 0; node < relevant_.size(); ++node) {
      for (const auto& [group, num] : alternative.by_node[node]) room_before_[node] += num;
    }
  }
  StepTo(absl::InfiniteFuture());
  return Choose();
}

}  // namespace

std::optional<FoundStart> FindStart(SchedulerState& state, const JobView& job, absl::Time now,
                                    const KeptPlaces& kept, ReleaseEvents& releases,
                                    Horizon horizon) {
  return Search(state, job, now, kept, releases).Run(horizon);
}

}  // namespace oneai::fabric
