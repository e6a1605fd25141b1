#include "compute_fabric/scheduler/queues/admit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/queues/amount_text.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

std::string NameOf(const QueueNode& node) {
  return node.parent < 0 ? "the fabric" : absl::StrCat("queue ", node.path);
}

// One resource on its way from the queue to the root.
class ResourceWalk {
 public:
  ResourceWalk(const QueueTreeData& data, int resource, int64_t amount, Admission& admission)
      : data_(data), r_(resource), amount_(amount), admission_(admission) {}

  void Run(int leaf) {
    growth_ = amount_;  // of the footprint below
    for (int n = leaf; n >= 0; n = data_.nodes[n].parent) {
      const QueueNode& node = data_.nodes[n];
      CheckLimit(node);
      if (!data_.divided[r_]) continue;
      const int64_t taken =
          SaturatingAdd(SaturatingAdd(node.own_use[r_], node.child_footprint[r_]), growth_);
      const int64_t footprint = std::max(node.kept[r_], taken);
      growth_ = footprint - node.footprint[r_];
      if (!node.has_nominal) {
        // Its parent's rest borrows when it outgrows what the nominals leave.
        const QueueNode& parent = data_.nodes[node.parent];
        if (Above(parent.rest_use[r_], parent.leftover[r_])) admission_.borrows = true;
        continue;
      }
      if (n == leaf && Above(node.rest_use[r_], node.leftover[r_]) && !node.children.empty()) {
        admission_.borrows = true;
      }
      const bool borrows = Above(node.use[r_], node.nominal[r_]);
      if (node.parent < 0) {
        CheckRoot(node, footprint);
        continue;
      }
      if (borrows) admission_.borrows = true;
      CheckBorrowing(node, footprint);
    }
  }

 private:
  bool Above(int64_t use, int64_t bound) const { return SaturatingAdd(use, amount_) > bound; }

  void CheckLimit(const QueueNode& node) {
    if (!Above(node.use[r_], node.limit[r_])) return;
    Block(amount_ > node.limit[r_], node,
          SaturatingSubtract(SaturatingAdd(node.use[r_], amount_), node.limit[r_]),
          absl::StrCat(NameOf(node), " is limited to ", Text(node.limit[r_]), ": ",
                       Text(node.use[r_]), " in use, ", Text(amount_), " asked for"));
  }

  void CheckBorrowing(const QueueNode& node, int64_t footprint) {
    if (growth_ <= 0 || node.borrowing[r_] == kUnlimited) return;
    const int64_t most = SaturatingAdd(node.nominal[r_], node.borrowing[r_]);
    if (footprint <= most) return;
    const std::string kept =
        KeptText(SaturatingAdd(node.own_use[r_], node.child_footprint[r_]) - node.use[r_]);
    Block(amount_ > most, node, footprint - most,
          absl::StrCat(NameOf(node), " may borrow at most ", Text(node.borrowing[r_]),
                       " above its nominal ", Text(node.nominal[r_]), ": ", Text(node.use[r_]),
                       " in use", kept, ", ", Text(amount_), " asked for"));
  }

  // The root's written nominal is a cap. Its capacity is not: what is really free the nodes know
  // (jobs on cordoned nodes use none of the capacity). It only guards idle nominal that is kept for
  // its owners.
  void CheckRoot(const QueueNode& root, int64_t footprint) {
    const bool written = root.spec && !root.spec->nominal.empty();
    if (growth_ <= 0 || footprint <= root.nominal[r_]) return;
    const int64_t kept = root.child_footprint[r_] + root.own_use[r_] - root.use[r_];
    if (!written && kept <= 0) return;
    Block(amount_ > root.nominal[r_], root, footprint - root.nominal[r_],
          absl::StrCat("of ", Text(root.nominal[r_]), " in the fabric, ", Text(root.use[r_]),
                       " in use", KeptText(kept), ", ", Text(amount_), " asked for"));
  }

  std::string KeptText(int64_t kept) const {
    return kept > 0 ? absl::StrCat(" and ", Text(kept), " kept for queues that do not lend")
                    : std::string();
  }

  void Block(bool always, const QueueNode& node, int64_t missing, std::string reason) {
    admission_.admitted = false;
    if (always) admission_.admitted_when_idle = false;
    admission_.blockers.push_back(std::move(reason));
    admission_.shortfalls.push_back({node.path, data_.resources[r_], missing});
  }
  std::string Text(int64_t amount) const { return AmountText(data_.resources[r_], amount); }

  const QueueTreeData& data_;
  const int r_;
  const int64_t amount_;
  Admission& admission_;
  int64_t growth_ = 0;
};

}  // namespace

Admission AdmitAmounts(const QueueTreeData& data, absl::string_view path, const Amounts& amounts) {
  Admission admission;
  admission.admitted = true;
  const int leaf = data.NearestNode(path);
  for (const auto& [r, amount] : ToDense(data, amounts)) {
    if (amount > 0) ResourceWalk(data, r, amount, admission).Run(leaf);
  }
  return admission;
}

bool TakesOwnReserve(const QueueTreeData& data, absl::string_view path, const Amounts& amounts) {
  const DenseAmounts dense = ToDense(data, amounts);
  for (int n = data.NearestNode(path); n >= 0; n = data.nodes[n].parent) {
    const QueueNode& node = data.nodes[n];
    if (!node.spec || !(node.spec->reserve || node.spec->sandbox)) continue;
    bool within = false;
    for (const auto& [r, amount] : dense) {
      if (!data.divided[r] || node.nominal[r] == 0) continue;
      within = SaturatingAdd(node.use[r], amount) <= node.nominal[r];
      if (!within) break;
    }
    if (within) return true;
  }
  return false;
}

}  // namespace oneai::fabric
