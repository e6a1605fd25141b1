#include "compute_fabric/scheduler/shape_candidates.h"

#include <algorithm>
#include <limits>

namespace oneai::fabric {
namespace {

// Scores remembered per shape; nodes in use show far fewer states than this.
constexpr size_t kMemoMax = 1 << 16;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ULL + (hash << 6) + (hash >> 2);
  hash *= 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 32);
}

// Random's scores may be any number, all others are 0..kScoreMax.
bool ComesBefore(const ClusterState& cluster, const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return cluster.node(a.node).rank < cluster.node(b.node).rank;
}

}  // namespace

uint64_t SignatureOf(const NodeState& node) {
  uint64_t hash =
      Mix(static_cast<uint64_t>(node.cpu_milli_free), static_cast<uint64_t>(node.spec.cpu_milli));
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const DeviceState& device = node.devices[i];
    hash = Mix(hash, static_cast<uint64_t>(device.kind) << 32 |
                         static_cast<uint64_t>(device.milli_free + kWholeDevice) << 1 |
                         (device.healthy ? 1 : 0));
    hash = Mix(hash, static_cast<uint64_t>(device.memory_free));
    // Where NVLink domains end, not which they are.
    if (i > 0) hash = Mix(hash, device.domain == node.devices[i - 1].domain ? 1 : 0);
  }
  for (const int32_t num : node.num_tasks_by_class) {
    if (num != 0) hash = Mix(hash, static_cast<uint64_t>(num));
    hash = hash << 7 | hash >> 57;
  }
  return hash;
}

bool NodeLayout::Follow(const ClusterState& cluster) {
  const bool order_changed = order_version != cluster.order_version();
  if (order_changed) {
    order_version = cluster.order_version();
    by_position.clear();
    position.assign(cluster.num_indexes(), -1);
    signature.resize(cluster.num_indexes(), 0);
    kinds.resize(cluster.num_indexes(), 0);
    for (NodeIndex i = 0; i < cluster.num_indexes(); ++i) {
      if (cluster.IsNode(i)) by_position.push_back(i);
    }
    std::sort(by_position.begin(), by_position.end(), [&](NodeIndex a, NodeIndex b) {
      return cluster.node(a).rank < cluster.node(b).rank;
    });
    for (size_t p = 0; p < by_position.size(); ++p) {
      position[by_position[p]] = static_cast<int32_t>(p);
    }
    for (const TopologyLevel level :
         {TopologyLevel::kNvlink, TopologyLevel::kRack, TopologyLevel::kZone}) {
      LayOutDomains(cluster, level);
    }
  }
  for (const NodeIndex node : cluster.ChangedSince(version)) {
    signature[node] = SignatureOf(cluster.node(node));
    kinds[node] = 0;
    for (const DeviceState& device : cluster.node(node).devices) {
      kinds[node] |= KindBit(device.kind);
    }
  }
  version = cluster.version();
  return order_changed;
}

void NodeLayout::LayOutDomains(const ClusterState& cluster, TopologyLevel level) {
  DomainLayout& layout = levels[static_cast<int>(level)];
  layout = DomainLayout();
  layout.index_of.assign(cluster.num_indexes(), -1);
  absl::flat_hash_map<int32_t, int32_t> index;
  for (const NodeIndex node : by_position) {
    const NodeState& state = cluster.node(node);
    const int32_t id = state.domain[static_cast<int>(level)];
    if (id < 0) {
      layout.is_partition = layout.is_partition && state.devices.empty();
      continue;
    }
    const auto [it, added] = index.try_emplace(id, static_cast<int32_t>(layout.domains.size()));
    if (added) layout.domains.push_back({id, {}});
    layout.domains[it->second].nodes.push_back(node);
    layout.index_of[node] = it->second;
  }
}

KeptCandidates::KeptCandidates(const TaskShape& shape, const DeviceAlternative* device)
    : shape_(shape), has_device_(device != nullptr) {
  if (has_device_) device_ = *device;
}

void KeptCandidates::Follow(const ClusterState& cluster, const NodeLayout& layout,
                            const Scorer& scorer) {
  layout_ = &layout;
  cells_.resize(cluster.num_indexes());
  if (order_version_ != layout.order_version) {
    order_version_ = layout.order_version;
    // A node that has gone has no position to erase it from.
    for (NodeIndex i = 0; i < cluster.num_indexes(); ++i) {
      if (!cluster.IsNode(i)) cells_[i] = Cell();
    }
    LayOut();
  }
  const int32_t kind = has_device_ ? cluster.KindOf(device_.kind) : -1;
  kinds_ = kind < 0 ? 0 : KindBit(kind);
  if (version_ == 0) {
    for (const NodeIndex node : layout.by_position) Refresh(cluster, node, scorer);
  } else {
    for (const NodeIndex node : cluster.ChangedSince(version_)) {
      if (cluster.IsNode(node)) Refresh(cluster, node, scorer);
    }
  }
  version_ = cluster.version();
}

void KeptCandidates::LayOut() {
  for (auto& bitmap : by_score_) bitmap.reset();
  count_by_fit_.fill(0);
  num_nodes_ = 0;
  for (size_t level = 0; level < rooms_.size(); ++level) {
    rooms_[level].assign(layout_->levels[level].domains.size(), Room());
  }
  for (const NodeIndex node : layout_->by_position) {
    if (cells_[node].num_fit > 0) Insert(node, cells_[node]);
  }
}

void KeptCandidates::Refresh(const ClusterState& cluster, NodeIndex node, const Scorer& scorer) {
  Cell cell;
  const DeviceAlternative* device = has_device_ ? &device_ : nullptr;
  // Most nodes that change are of other kinds: not even looked at.
  if ((layout_->kinds[node] & kinds_) == kinds_) {
    cell.num_fit = static_cast<int16_t>(
        cluster.NumFit(node, shape_, device, std::numeric_limits<int16_t>::max()));
  }
  if (cell.num_fit > 0) {
    const NodeScore score = ScoreOf(cluster.node(node), layout_->signature[node], scorer);
    cell.score = static_cast<int8_t>(std::clamp(score.score, 0, kScoreMax));
    cell.device = static_cast<int16_t>(score.device);
  }
  const Cell old = cells_[node];
  cells_[node] = cell;
  if (old.num_fit > 0) Erase(node, old);
  if (cell.num_fit > 0) Insert(node, cell);
}

NodeScore KeptCandidates::ScoreOf(const NodeState& node, uint64_t signature, const Scorer& scorer) {
  const auto found = memo_.find(signature);
  if (found != memo_.end()) return found->second;
  if (memo_.size() >= kMemoMax) memo_.clear();
  const NodeScore score = scorer.Score(node, shape_, has_device_ ? &device_ : nullptr);
  memo_.emplace(signature, score);
  return score;
}

void KeptCandidates::Insert(NodeIndex node, const Cell& cell) {
  auto& bitmap = by_score_[cell.score];
  if (bitmap == nullptr) {
    bitmap = std::make_unique<RankBitmap>(static_cast<int32_t>(layout_->by_position.size()));
  }
  bitmap->Insert(layout_->position[node]);
  Count(node, cell, 1);
}

void KeptCandidates::Erase(NodeIndex node, const Cell& cell) {
  by_score_[cell.score]->Erase(layout_->position[node]);
  Count(node, cell, -1);
}

void KeptCandidates::Count(NodeIndex node, const Cell& cell, int sign) {
  count_by_fit_[std::min<int32_t>(cell.num_fit, kNumFitMax)] += sign;
  num_nodes_ += sign;
  for (size_t level = 0; level < rooms_.size(); ++level) {
    const DomainLayout& domains = layout_->levels[level];
    if (domains.domains.empty() || domains.index_of[node] < 0) continue;
    Room& room = rooms_[level][domains.index_of[node]];
    room.num_fit += sign * cell.num_fit;
    room.num_nodes += sign;
  }
}

Candidate KeptCandidates::CandidateOf(NodeIndex node) const {
  const Cell& cell = cells_[node];
  return {node, cell.num_fit, cell.score, cell.device};
}

std::optional<std::vector<DomainRoom>> KeptCandidates::Domains(TopologyLevel level) const {
  const DomainLayout& layout = layout_->levels[static_cast<int>(level)];
  if (level == TopologyLevel::kHost || !layout.is_partition) return std::nullopt;
  std::vector<DomainRoom> domains;
  const std::vector<Room>& rooms = rooms_[static_cast<int>(level)];
  for (size_t i = 0; i < rooms.size(); ++i) {
    if (rooms[i].num_nodes == 0) continue;
    domains.push_back(
        {layout.domains[i].id, static_cast<int32_t>(i), rooms[i].num_fit, rooms[i].num_nodes});
  }
  return domains;
}

std::vector<Candidate> KeptCandidates::InDomain(TopologyLevel level, int32_t index) const {
  std::vector<Candidate> candidates;
  for (const NodeIndex node : layout_->levels[static_cast<int>(level)].domains[index].nodes) {
    if (cells_[node].num_fit > 0) candidates.push_back(CandidateOf(node));
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return candidates;
}

int32_t KeptCandidates::num_fit_max() const {
  for (int32_t fit = kNumFitMax; fit > 0; --fit) {
    if (count_by_fit_[fit] > 0) return fit;
  }
  return 0;
}

void KeptCandidates::VisitBestFirst(absl::FunctionRef<bool(const Candidate&)> visit) const {
  for (int score = kScoreMax; score >= 0; --score) {
    const RankBitmap* bitmap = by_score_[score].get();
    if (bitmap == nullptr) continue;
    for (int32_t p = bitmap->Next(0); p >= 0; p = bitmap->Next(p + 1)) {
      const NodeIndex node = layout_->by_position[p];
      if (!visit(CandidateOf(node))) return;
    }
  }
}

ComputedCandidates::ComputedCandidates(const ClusterState& cluster, const TaskShape& shape,
                                       const DeviceAlternative* device, const Scorer& scorer) {
  for (NodeIndex i = 0; i < cluster.num_indexes(); ++i) {
    const int64_t num_fit = cluster.NumFit(i, shape, device, std::numeric_limits<int16_t>::max());
    if (num_fit == 0) continue;
    const NodeScore score = scorer.Score(cluster.node(i), shape, device);
    candidates_.push_back({i, static_cast<int32_t>(num_fit), score.score, score.device});
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [&](const Candidate& a, const Candidate& b) { return ComesBefore(cluster, a, b); });
}

int32_t ComputedCandidates::num_fit_max() const {
  int32_t most = 0;
  for (const Candidate& candidate : candidates_) most = std::max(most, candidate.num_fit);
  return std::min(most, 64);
}

void ComputedCandidates::VisitBestFirst(absl::FunctionRef<bool(const Candidate&)> visit) const {
  for (const Candidate& candidate : candidates_) {
    if (!visit(candidate)) return;
  }
}

}  // namespace oneai::fabric
