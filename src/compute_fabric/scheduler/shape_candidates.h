// File: compute_fabric/scheduler/shape_candidates.h
//
// The two ways to know the candidates of a shape: kept from call to call (scores that depend on the
// node alone), or computed when asked (those that do not).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "compute_fabric/scheduler/candidate_index.h"
#include "compute_fabric/scheduler/rank_bitmap.h"

namespace oneai::fabric {

// The domains of one level, dense.
struct DomainLayout {
  struct Domain {
    int32_t id = 0;
    std::vector<NodeIndex> nodes;  // by position
  };
  std::vector<Domain> domains;    // in order of their first node
  std::vector<int32_t> index_of;  // by NodeIndex, in `domains`; -1: none
  // Whether each node is in one domain only (NVLink domains may be parts of a node).
  bool is_partition = true;
};

// Nodes by rank, dense: what bitmaps are over. And what each node looks like to a scorer.
struct NodeLayout {
  std::vector<NodeIndex> by_position;
  std::vector<int32_t> position;       // by NodeIndex; -1: vacant
  std::vector<uint64_t> signature;     // by NodeIndex: nodes of one signature score alike
  std::vector<uint64_t> kinds;         // by NodeIndex: KindBit of each device it has
  std::array<DomainLayout, 4> levels;  // by TopologyLevel; kHost is empty: a host is a node
  uint64_t order_version = 0;
  uint64_t version = 0;

  // Brings all up to date. True: positions have changed.
  bool Follow(const ClusterState& cluster);

 private:
  void LayOutDomains(const ClusterState& cluster, TopologyLevel level);
};

// A set of kinds in a word: with more than 64 kinds some share a bit, which only costs a look.
inline uint64_t KindBit(int32_t kind) { return uint64_t{1} << (kind & 63); }

// What a score may depend on, as a number.
uint64_t SignatureOf(const NodeState& node);

class KeptCandidates : public ShapeCandidates {
 public:
  KeptCandidates(const TaskShape& shape, const DeviceAlternative* device);

  // `scorer`: the same at each call.
  void Follow(const ClusterState& cluster, const NodeLayout& layout, const Scorer& scorer);

  int64_t num_nodes() const override { return num_nodes_; }
  int32_t num_fit_max() const override;
  void VisitBestFirst(absl::FunctionRef<bool(const Candidate&)> visit) const override;
  std::optional<std::vector<DomainRoom>> Domains(TopologyLevel level) const override;
  std::vector<Candidate> InDomain(TopologyLevel level, int32_t index) const override;

 private:
  static constexpr int32_t kNumFitMax = 64;
  struct Cell {
    int16_t num_fit = 0;
    int8_t score = 0;
    int16_t device = -1;
  };

  void Refresh(const ClusterState& cluster, NodeIndex node, const Scorer& scorer);
  NodeScore ScoreOf(const NodeState& node, uint64_t signature, const Scorer& scorer);
  void Insert(NodeIndex node, const Cell& cell);
  void Erase(NodeIndex node, const Cell& cell);
  void Count(NodeIndex node, const Cell& cell, int sign);
  void LayOut();
  Candidate CandidateOf(NodeIndex node) const;

  TaskShape shape_;
  DeviceAlternative device_;
  bool has_device_;
  uint64_t kinds_ = 0;  // that a node must have
  const NodeLayout* layout_ = nullptr;
  uint64_t version_ = 0;
  uint64_t order_version_ = 0;
  std::vector<Cell> cells_;  // by NodeIndex
  std::array<std::unique_ptr<RankBitmap>, kScoreMax + 1> by_score_;
  std::array<int32_t, kNumFitMax + 1> count_by_fit_{};
  int64_t num_nodes_ = 0;
  struct Room {
    int32_t num_fit = 0;
    int32_t num_nodes = 0;
  };
  std::array<std::vector<Room>, 4> rooms_;         // by TopologyLevel and DomainLayout's index
  absl::flat_hash_map<uint64_t, NodeScore> memo_;  // by signature
};

class ComputedCandidates : public ShapeCandidates {
 public:
  ComputedCandidates(const ClusterState& cluster, const TaskShape& shape,
                     const DeviceAlternative* device, const Scorer& scorer);

  int64_t num_nodes() const override { return static_cast<int64_t>(candidates_.size()); }
  int32_t num_fit_max() const override;
  void VisitBestFirst(absl::FunctionRef<bool(const Candidate&)> visit) const override;
  std::optional<std::vector<DomainRoom>> Domains(TopologyLevel) const override { return {}; }
  std::vector<Candidate> InDomain(TopologyLevel, int32_t) const override { return {}; }

 private:
  std::vector<Candidate> candidates_;  // best first
};

}  // namespace oneai::fabric
