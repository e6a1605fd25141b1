#include "compute_fabric/scheduler/queues/fair_share.h"

#include <algorithm>
#include <cmath>

#include "compute_fabric/scheduler/queues/decay.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

// What shares are measured against. Without nodes: the largest sum at hand, so that shares stay
// comparable.
double CapacityOf(const QueueTreeData& data, int r) {
  const QueueNode& root = data.nodes[0];
  const int64_t capacity =
      data.capacity[r] > 0 ? data.capacity[r] : std::max(root.nominal[r], root.use[r]);
  return std::max(1.0, static_cast<double>(capacity));
}

double WeightOf(const QueueTreeData& data, const QueueSide& side) {
  return side.child < 0 ? 1 : data.nodes[side.child].weight;
}

double Saturation(const QueueTreeData& data, const std::vector<int64_t>& use,
                  const std::vector<int64_t>& nominal) {
  double most = 0;
  for (int r = 0; r < data.num_resources(); ++r) {
    if (use[r] <= 0) continue;
    const double whole = data.divided[r] ? static_cast<double>(nominal[r]) : CapacityOf(data, r);
    if (whole > 0) most = std::max(most, static_cast<double>(use[r]) / whole);
  }
  return most;
}

}  // namespace

double GroupShare(const QueueTreeData& data, const QueueSide& side, const DenseAmounts& more,
                  int64_t times) {
  const bool rest = side.in_rest;
  const QueueNode& node = data.nodes[rest ? side.parent : side.child];
  const std::vector<int64_t>& use = rest ? node.rest_use : node.use;
  const std::vector<int64_t>& nominal = rest ? node.leftover : node.nominal;
  double share = 0;
  const auto count = [&](int r, int64_t amount) {
    if (!data.divided[r] || nominal[r] == kUnlimited) return;
    const int64_t above = SaturatingSubtract(SaturatingAdd(use[r], amount), nominal[r]);
    if (above > 0) share = std::max(share, static_cast<double>(above) / CapacityOf(data, r));
  };
  absl::InlinedVector<int64_t, 8> change(data.num_resources(), 0);
  for (const auto& [r, amount] : more) change[r] = SaturatingMultiply(amount, times);
  for (int r = 0; r < data.num_resources(); ++r) count(r, change[r]);
  return rest ? share : share / WeightOf(data, side);
}

double OwnShare(const QueueTreeData& data, const QueueSide& side, const DenseAmounts& more) {
  if (!side.in_rest) return GroupShare(data, side, more, 1);
  const std::vector<int64_t> nothing(side.child == kNobodyYet ? data.num_resources() : 0, 0);
  const std::vector<int64_t>& use = side.child == kNobodyYet ? nothing
                                    : side.child == kOwnJobs ? data.nodes[side.parent].own_use
                                                             : data.nodes[side.child].use;
  double share = 0;
  for (int r = 0; r < data.num_resources(); ++r) {
    share = std::max(share, static_cast<double>(use[r]) / CapacityOf(data, r));
  }
  for (const auto& [r, amount] : more) {
    share =
        std::max(share, static_cast<double>(SaturatingAdd(use[r], amount)) / CapacityOf(data, r));
  }
  return share / WeightOf(data, side);
}

double OwnDecayedShare(const QueueTreeData& data, const QueueSide& side) {
  if (side.child == kNobodyYet) return 0;
  const QueueNode& node = data.nodes[side.child < 0 ? side.parent : side.child];
  const std::vector<double>& decayed = side.child < 0 ? node.own_decayed : node.decayed;
  double share = 0;
  for (int r = 0; r < data.num_resources(); ++r) {
    if (!side.in_rest && !data.divided[r]) continue;
    const double nominal = side.in_rest ? 0 : static_cast<double>(node.nominal[r]);
    const double above = AverageUse(decayed[r], data.half_life) - nominal;
    share = std::max(share, above / CapacityOf(data, r));
  }
  return share / WeightOf(data, side);
}

bool Borrows(const QueueTreeData& data, const QueueSide& side) {
  const QueueNode& node = data.nodes[side.in_rest ? side.parent : side.child];
  for (int r = 0; r < data.num_resources(); ++r) {
    if (!data.divided[r]) continue;
    if (side.in_rest ? node.rest_use[r] > node.leftover[r] : node.use[r] > node.nominal[r]) {
      return true;
    }
  }
  return false;
}

QueueRank RankOfSide(const QueueTreeData& data, const QueueSide& side) {
  QueueRank rank;
  rank.rest = side.in_rest;
  rank.borrows = Borrows(data, side);
  if (side.in_rest || rank.borrows) {
    rank.share = OwnShare(data, side, {}) + OwnDecayedShare(data, side);
    rank.group = rank.share;
  }
  if (!rank.borrows) {
    const QueueNode& node = data.nodes[side.in_rest ? side.parent : side.child];
    rank.group = side.in_rest ? Saturation(data, node.rest_use, node.leftover)
                              : Saturation(data, node.use, node.nominal);
    if (!side.in_rest) rank.share = rank.group;
  }
  return rank;
}

bool RanksBefore(const QueueRank& a, const QueueRank& b) {
  if (a.rest && b.rest) return a.share < b.share;  // siblings: `borrows` is the same for both
  if (a.borrows != b.borrows) return b.borrows;
  return a.group < b.group;
}

}  // namespace oneai::fabric
