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

// As an administrator writes it. A resource that `nominal` does not name: nominal is unlimited when
// `nominal` is empty (a queue nobody has set up), 0 otherwise.
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

// Why amounts are not admitted: every limit on the path, in words.
struct Admission {
  bool admitted = false;
  bool borrows = false;  // takes more than the nominal of its queue, or of one above it
  std::vector<std::string> blockers;
};

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
  bool GoesBefore(absl::string_view a, absl::string_view b) const;
  // dominant share above nominal over weight, after `amounts` more (Kueue's DRS); and the decayed
  // one.
  double DominantShare(absl::string_view path, const Amounts& more = {}) const;

  // Whether a job of `taker` that needs `amounts` may evict one of `owner` that holds `held`: owner
  // (at the level where they part) borrows, taker would be within its nominal or its saturation
  // would stay below the owner's after the eviction. That order never turns round, which is why two
  // queues cannot reclaim from each other for ever.
  bool MayReclaim(absl::string_view taker, const Amounts& amounts, absl::string_view owner,
                  const Amounts& held) const;

  const QueueSpec* FindSpec(absl::string_view path) const;  // null: none
  const QueueUse* FindUse(absl::string_view path) const;    // null: never used
  std::vector<std::string> Paths() const;                   // of specs and of uses, sorted

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
