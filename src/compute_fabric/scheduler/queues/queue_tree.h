// File: compute_fabric/scheduler/queues/queue_tree.h
//
// Who may use how much: a tree of queues, one subtree per business unit. A job belongs to one queue
// and counts in all that contain it.
//
//   nominal     what the queue is entitled to; comes back by reclaim when others have borrowed it
//   borrowing   how much more it may use while others leave theirs idle
//   lending     how much of its idle nominal others may use
//   limit       never more than this, whatever is idle
//
// Rules as Kueue's cohorts (https://kueue.sigs.k8s.io/docs/concepts/cluster_queue/), at any depth.
// "Fair share" orders queues that want the same thing: dominant resource share above nominal over
// weight (DRF, Ghodsi et al., NSDI'11), with past use decayed by half-life.
//
// Queues without nominal (nobody has set them up; the jobs directly in a queue that has children)
// are "the rest" of their parent: they share what the nominals of their siblings leave. The rest
// borrows when it uses more than that; within the rest, order alone makes it fair, nobody takes
// anything back. A resource that no queue's nominal names is not divided: only `limit` counts for
// it. Each idea is a file: validation.h, admit.h, fair_share.h, decay.h, reclaim.h, sandbox.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

// As an administrator writes it. A resource that `nominal` does not name: what is left when
// `nominal` is empty (a queue nobody has set up; if its children, sandboxes apart, have nominals,
// then their sum), 0 otherwise. The root's nominal, where given, caps everything; absent, the root
// has the capacity.
struct QueueSpec {
  std::string path;  // "" the root, "retail" a unit, "retail/nlp" a project, any depth
  Amounts nominal;
  Amounts borrowing_limit;  // above nominal; absent: no limit
  Amounts lending_limit;    // of nominal; absent: all of it
  Amounts limit;            // hard
  double weight = 1;        // of its share of what is borrowed
  // Strategic reserve: its nominal is lent to anyone who asks, and taken back at once, without
  // minimum runtime, when its own jobs come.
  bool reserve = false;
  // Sandbox: its nominal is never lent, so that an experiment starts at once.
  bool sandbox = false;
};

// Use of one queue, its children's included.
struct QueueUse {
  Amounts in_use;
  std::map<std::string, double> decayed;  // resource-seconds, decayed to `decayed_at`
  absl::Time decayed_at = absl::InfinitePast();
};

// What a limit on the path lacks for an admission. Evicting jobs at or below `queue` that hold the
// resource gives it.
struct QuotaShortfall {
  std::string queue;
  std::string resource;
  int64_t missing = 0;
};

// Why amounts are not admitted: every limit on the path, in words.
struct Admission {
  bool admitted = false;
  bool borrows = false;  // takes more than the nominal of its queue, or of one above it
  // Would be admitted if nothing else ran. False: no reclaim, no waiting helps; ask for less.
  bool admitted_when_idle = true;
  std::vector<std::string> blockers;
  std::vector<QuotaShortfall> shortfalls;  // parallel to blockers
};

// A queue's place among its siblings. See fair_share.h for the figures.
struct QueueRank {
  bool rest = false;     // one of those without nominal, which rank among themselves by `share`
  bool borrows = false;  // it, or the rest as a whole, uses more than its nominal
  double share = 0;      // lower goes first among equal `borrows`
  double group = 0;      // share of the rest as a whole; equal to `share` for others
};

// Borrowers last; then by share, the rest as one against a queue with nominal. Among three or more,
// equal places are not transitive (two of the rest may differ where a third equals both), so this
// is no order for a sort: compare the best of the rest with the best of the others.
bool RanksBefore(const QueueRank& a, const QueueRank& b);

struct QueueTreeData;  // tree_data.h: for the files of this folder

// The tree and its use. Copyable; thread-compatible.
class QueueTree {
 public:
  QueueTree();
  ~QueueTree();
  QueueTree(const QueueTree&);
  QueueTree& operator=(const QueueTree&);

  // Replaces all specs; use is kept. InvalidArgument: a tree that does not add up (children's
  // nominal above their parent's, a limit below nominal, lending above nominal, a negative or
  // overflowing amount, a weight that is not above 0, a path that is no path): names the queue, the
  // resource and the nearest valid value.
  absl::Status SetSpecs(const std::vector<QueueSpec>& specs);
  // What SetSpecs would say.
  static absl::Status Validate(const std::vector<QueueSpec>& specs);
  // What the root has: the sum over nodes in service. Queues without nominal share what is left.
  void SetCapacity(const Amounts& capacity);

  // Books `amounts` (negative `times`: gives back) for a queue and all above it. The queue is made
  // when there is none of that name, without limits of its own.
  void Charge(absl::string_view path, const Amounts& amounts, int64_t times = 1);
  // Moves the decay clock: use x time is added to `decayed`. Calls must not go back in time.
  void Decay(absl::Time now, absl::Duration half_life);

  // Whether `amounts` more fit below every limit on the path: own nominal first, then what others
  // may lend.
  Admission Admit(absl::string_view path, const Amounts& amounts) const;

  // The queue's place in line: lower goes first. A queue below nominal goes before any that
  // borrows; then lower dominant share. Compares queue by queue down the tree from the first
  // ancestor in which the two differ.
  // Equal places: false both ways. To serve many queues in order use QueueOrder (order_queues.h),
  // which walks the tree instead of comparing pairs.
  bool GoesBefore(absl::string_view a, absl::string_view b) const;
  // Dominant share above nominal over weight, after `more` (Kueue's DRS). 0 within nominal.
  double DominantShare(absl::string_view path, const Amounts& more = {}) const;
  // The same of its average past use, decayed (decay.h).
  double DecayedShare(absl::string_view path) const;
  // The queue's place among its siblings, and that of the jobs directly in it among its children.
  QueueRank RankOf(absl::string_view path) const;
  QueueRank RankOfOwnJobs(absl::string_view path) const;
  // The same by the number of a queue that there is, for those who ask often: numbers stand until
  // SetSpecs.
  std::optional<int> NumberOf(absl::string_view path) const;
  QueueRank RankOf(int number) const;
  QueueRank RankOfOwnJobs(int number) const;
  // Rises with every change; for those who keep an order.
  uint64_t version() const;

  // Whether a job of `taker` that needs `amounts` may evict one of `owner` that holds `held`: owner
  // (where their paths part, and in every queue from there down to the job) borrows something that
  // the taker needs, and the taker would be within its nominal, or its dominant share would stay
  // below the owner's after the eviction. reclaim.h argues why that never turns round for ever.
  // False for the same queue: there priority decides.
  bool MayReclaim(absl::string_view taker, const Amounts& amounts, absl::string_view owner,
                  const Amounts& held) const;
  // False: MayReclaim is false whatever job of the owner it is. For filtering by queue.
  bool MightReclaim(absl::string_view taker, const Amounts& amounts, absl::string_view owner) const;
  // The queues, by path, whose jobs somebody might reclaim: MightReclaim is false for all others.
  std::vector<std::string> Borrowers() const;
  // Whether `amounts` more would leave the queue, or one above it, within the nominal of a
  // strategic reserve or a sandbox: its own, which it need not wait for.
  bool TakesOwnReserve(absl::string_view path, const Amounts& amounts) const;

  const QueueSpec* FindSpec(absl::string_view path) const;  // null: none
  const QueueUse* FindUse(absl::string_view path) const;    // null: uses and used nothing
  std::vector<std::string> Paths() const;                   // of specs and of uses, sorted

 private:
  std::unique_ptr<QueueTreeData> data_;
};

}  // namespace oneai::fabric
