#include "compute_fabric/scheduler/queues/reclaim.h"

#include <algorithm>

#include "compute_fabric/scheduler/queues/fair_share.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

// What the side has taken out of what is there for all: with what sandboxes below it keep.
int64_t TakenBy(const QueueTreeData& data, const QueueSide& side, int r) {
  return side.in_rest ? data.nodes[side.parent].rest_use[r] : data.nodes[side.child].footprint[r];
}

// The same after `amount` more in `queue`, which is at or below the side. What comes out of a part
// that is kept for the queue takes nothing from anybody.
int64_t TakenAfter(const QueueTreeData& data, const QueueSide& side, int queue, int r,
                   int64_t amount) {
  if (side.in_rest) return SaturatingAdd(TakenBy(data, side, r), amount);
  for (int n = queue; n >= 0; n = data.nodes[n].parent) {
    const QueueNode& node = data.nodes[n];
    const int64_t taken =
        SaturatingAdd(SaturatingAdd(node.own_use[r], node.child_footprint[r]), amount);
    const int64_t footprint = std::max(node.kept[r], taken);
    if (n == side.child) return footprint;
    amount = footprint - node.footprint[r];
  }
  return TakenBy(data, side, r);
}

int64_t NominalOf(const QueueTreeData& data, const QueueSide& side, int r) {
  return side.in_rest ? data.nodes[side.parent].leftover[r] : data.nodes[side.child].nominal[r];
}

// Whether the owner's queue uses more than its nominal of `r`, from where the paths part down to
// the jobs directly in it. A queue without nominal protects none of its children.
bool BorrowsAllTheWay(const QueueTreeData& data, const QueueSide& top, int owner, int r) {
  const auto borrows = [&](const QueueSide& side) {
    const int64_t nominal = NominalOf(data, side, r);
    return nominal == kUnlimited || TakenBy(data, side, r) > nominal;
  };
  if (NominalOf(data, top, r) == kUnlimited || !borrows(top)) return false;
  if (top.child < 0) return true;
  if (!data.nodes[owner].children.empty() && !borrows({owner, kOwnJobs, true})) return false;
  for (int n = owner; n != top.child; n = data.nodes[n].parent) {
    if (!borrows(SideOf(data, n))) return false;
  }
  return true;
}

bool WithinNominal(const QueueTreeData& data, const QueueSide& side, int queue,
                   const DenseAmounts& more) {
  for (const auto& [r, amount] : more) {
    if (!data.divided[r] || amount <= 0) continue;
    if (TakenAfter(data, side, queue, r, amount) > NominalOf(data, side, r)) return false;
  }
  return true;
}

bool Holds(const DenseAmounts& amounts, int resource) {
  return std::any_of(amounts.begin(), amounts.end(), [&](const auto& amount) {
    return amount.first == resource && amount.second > 0;
  });
}

// Whether the owner borrows some resource that is needed and, where `holds` is given, held.
bool GivesBack(const QueueTreeData& data, const QueueSide& side, int owner,
               const DenseAmounts& needs, const DenseAmounts* holds) {
  return std::any_of(needs.begin(), needs.end(), [&](const auto& need) {
    const auto [r, amount] = need;
    return amount > 0 && data.divided[r] && (holds == nullptr || Holds(*holds, r)) &&
           BorrowsAllTheWay(data, side, owner, r);
  });
}

}  // namespace

bool MayReclaim(const QueueTreeData& data, absl::string_view taker, const Amounts& amounts,
                absl::string_view owner, const Amounts& held) {
  const Parting parting = PartingOf(data, taker, owner);
  const QueueSide& x = parting.a;
  const QueueSide& y = parting.b;
  if (x.in_rest && y.in_rest) return false;  // covers the same queue
  const DenseAmounts needs = ToDense(data, amounts);
  const DenseAmounts holds = ToDense(data, held);
  if (!GivesBack(data, y, data.NearestNode(owner), needs, &holds)) return false;
  if (WithinNominal(data, x, data.NearestNode(taker), needs)) return true;
  const double owner_after = GroupShare(data, y, holds, -1);
  return owner_after < GroupShare(data, y, {}, 1) && GroupShare(data, x, needs, 1) < owner_after;
}

bool MightReclaim(const QueueTreeData& data, absl::string_view taker, const Amounts& amounts,
                  absl::string_view owner) {
  const Parting parting = PartingOf(data, taker, owner);
  const QueueSide& x = parting.a;
  const QueueSide& y = parting.b;
  if (x.in_rest && y.in_rest) return false;
  const DenseAmounts needs = ToDense(data, amounts);
  if (!GivesBack(data, y, data.NearestNode(owner), needs, nullptr)) return false;
  return WithinNominal(data, x, data.NearestNode(taker), needs) ||
         GroupShare(data, x, needs, 1) < GroupShare(data, y, {}, 1);
}

bool MightGiveBack(const QueueTreeData& data, int queue) {
  const QueueNode& node = data.nodes[queue];
  // From the jobs upwards, the first queue that has a nominal decides: within it, they are safe.
  const auto borrows_first = [&](int r) {
    const auto above = [&](const QueueSide& side) {
      return TakenBy(data, side, r) > NominalOf(data, side, r);
    };
    if (const QueueSide own{queue, kOwnJobs, true};
        (queue == 0 || !node.children.empty()) && NominalOf(data, own, r) != kUnlimited) {
      return above(own);
    }
    for (int n = queue; n > 0; n = data.nodes[n].parent) {
      const QueueSide side = SideOf(data, n);
      if (NominalOf(data, side, r) != kUnlimited) return above(side);
    }
    return false;
  };
  for (int r = 0; r < data.num_resources(); ++r) {
    if (data.divided[r] && node.own_use[r] > 0 && borrows_first(r)) return true;
  }
  return false;
}

absl::Duration ReclaimGuard(absl::Duration minimum_runtime, int times) {
  constexpr int kDoublingsMax = 20;
  return minimum_runtime * (int64_t{1} << std::clamp(times, 0, kDoublingsMax));
}

}  // namespace oneai::fabric
