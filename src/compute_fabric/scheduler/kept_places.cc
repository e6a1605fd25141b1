#include "compute_fabric/scheduler/kept_places.h"

#include <algorithm>
#include <utility>

#include "compute_fabric/scheduler/cluster/node_fit.h"

namespace oneai::fabric {

const PlannedStart& KeptPlaces::Keep(const JobView& job, absl::Time start,
                                     const DeviceAlternative* device,
                                     const std::vector<std::pair<NodeIndex, int64_t>>& nodes) {
  Reservation& reservation = reservations_.emplace_back();
  reservation.plan = {.job_id = job.id, .start = start};
  reservation.shape = job.shape;
  if (device != nullptr) reservation.device = *device;
  KeptPlace place{.plan = &reservation.plan,
                  .end = start + job.time_limit,
                  .shape = &reservation.shape,
                  .device = reservation.device ? &*reservation.device : nullptr,
                  .kind = device == nullptr ? -1 : state_->cluster.KindOf(device->kind)};
  for (const auto& [node, num] : nodes) {
    place.num = num;
    std::vector<KeptPlace>& places = by_node_[node];
    const auto after = std::upper_bound(
        places.begin(), places.end(), start,
        [](absl::Time time, const KeptPlace& other) { return time < other.plan->start; });
    places.insert(after, place);
    reservation.plan.nodes.push_back(state_->cluster.node(node).spec.name);
  }
  return reservation.plan;
}

const std::vector<KeptPlace>& KeptPlaces::On(NodeIndex node) const {
  static const std::vector<KeptPlace>* const kNone = new std::vector<KeptPlace>;
  const auto it = by_node_.find(node);
  return it == by_node_.end() ? *kNone : it->second;
}

std::vector<NodeIndex> KeptPlaces::Nodes() const {
  if (!nodes_with_holds_) {
    nodes_with_holds_.emplace();
    for (NodeIndex node = 0; node < state_->cluster.num_indexes(); ++node) {
      if (!state_->cluster.node(node).spec.holds.empty()) nodes_with_holds_->push_back(node);
    }
  }
  std::vector<NodeIndex> nodes = *nodes_with_holds_;
  for (const auto& [node, places] : by_node_) nodes.push_back(node);
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

const std::vector<ReleaseEvent>& KeptPlaces::ReleasesOn(NodeIndex node,
                                                        const ReleaseEvents& releases) const {
  const auto it = releases_.find(node);
  if (it != releases_.end()) return it->second;
  return releases_[node] = releases.OnNode(node);
}

NodeRoom KeptPlaces::FreeAt(NodeIndex node, const ReleaseEvents& releases, absl::Time time) const {
  NodeRoom room = RoomOf(state_->cluster.node(node));
  for (const ReleaseEvent& event : ReleasesOn(node, releases)) {
    if (event.end > time) break;
    GiveBack(room, event.release);
  }
  return room;
}

bool KeptPlaces::TakeKept(NodeIndex node, absl::Time time, NodeRoom& room) const {
  const NodeSpec& spec = state_->cluster.node(node).spec;
  for (const KeptPlace& place : On(node)) {
    if (place.plan->start > time) break;
    // At the infinite future, only what starts there is still to come.
    if (place.end <= time && place.plan->start < time) continue;
    if (!TakeFromRoom(room, spec, *place.shape, place.device, place.kind, place.num)) return false;
  }
  return true;
}

int64_t KeptPlaces::NumFitBeside(NodeIndex node, const NodeRoom& free,
                                 const ReleaseEvents& releases, const TaskShape& shape,
                                 const DeviceAlternative* device, int64_t limit,
                                 int32_t nvlink_domain, absl::Time start, absl::Time end) const {
  const NodeSpec& spec = state_->cluster.node(node).spec;
  const int32_t kind = device == nullptr ? -1 : state_->cluster.KindOf(device->kind);
  NodeRoom room = free;
  if (!TakeKept(node, start, room)) return 0;
  int64_t num = NumFitInRoom(room, spec, shape, device, kind, limit, nvlink_domain);
  // Room only grows between the starts of kept places, so those are the instants that matter.
  for (const KeptPlace& place : On(node)) {
    if (num == 0) break;
    const absl::Time time = place.plan->start;
    if (time <= start || time >= end) continue;
    room = FreeAt(node, releases, time);
    if (!TakeKept(node, time, room)) return 0;
    num = NumFitInRoom(room, spec, shape, device, kind, num, nvlink_domain);
  }
  return num;
}

bool KeptPlaces::LeavesRoomOn(NodeIndex node, const ReleaseEvents& releases, const TaskShape& shape,
                              const DeviceAlternative* device, int64_t num, int share_on,
                              absl::Time end) const {
  const NodeSpec& spec = state_->cluster.node(node).spec;
  const int32_t kind = device == nullptr ? -1 : state_->cluster.KindOf(device->kind);
  for (const KeptPlace& place : On(node)) {
    const absl::Time time = place.plan->start;
    // Without an end it is in the way even of what starts at no known time.
    if (time >= end && time != absl::InfiniteFuture()) break;
    if (time == absl::InfiniteFuture() && end != absl::InfiniteFuture()) break;
    NodeRoom room = FreeAt(node, releases, time);
    if (!TakeFromRoom(room, spec, shape, device, kind, num, share_on)) return false;
    if (!TakeKept(node, time, room)) return false;
  }
  return true;
}

bool KeptPlaces::LeavesRoom(NodeIndex node, const ReleaseEvents& releases, const TaskShape& shape,
                            const DeviceAlternative* device, int64_t num, absl::Time now,
                            absl::Time end) const {
  const std::vector<KeptPlace>& places = On(node);
  if (places.empty()) return true;
  const absl::Time first = std::max(places[0].plan->start, now);
  if (end <= first && end != absl::InfiniteFuture()) return true;
  if (device == nullptr || device->milli >= kWholeDevice || num != 1) {
    return LeavesRoomOn(node, releases, shape, device, num, -1, end);
  }
  const NodeState& state = state_->cluster.node(node);
  const int32_t kind = state_->cluster.KindOf(device->kind);
  for (size_t i = 0; i < state.devices.size(); ++i) {
    const DeviceState& candidate = state.devices[i];
    if (candidate.kind != kind || !candidate.healthy || candidate.milli_free < device->milli ||
        candidate.memory_free < DeviceMemoryOf(state.spec.devices[i], *device))
      continue;
    if (!LeavesRoomOn(node, releases, shape, device, num, static_cast<int>(i), end)) return false;
  }
  return true;
}

}  // namespace oneai::fabric
