// File: compute_fabric/scheduler/queues/reclaim.h
//
// Who may take back from whom. Let X and Y be the sides of taker and owner where their paths part;
// t what the taker needs, v what the owner's job holds; s(Q) the dominant share above nominal over
// weight (fair_share.h: GroupShare), 0 within nominal. "Uses" counts what queues below keep to
// themselves (admit.h: footprint).
//
//   owner   v has some resource that t needs and of which Y, and every queue from Y down to the
//           job, uses more than its nominal: nobody's own nominal is ever taken from him
//   taker   (entitled)  X with t stays within its nominal, of every divided resource of t; or
//           (fair)      s(X + t) < s(Y - v) < s(Y)
//
// Why it ends. Consider siblings, jobs that neither come nor go, and any sequence of starts (in
// free room, by whatever rule) and reclaims. Suppose reclaims, each with s(X + t) < s(Y - v), went
// on for ever. There are finitely many sets of running jobs, so some set comes back: a cycle. Let m
// be the least s(Y - v) over the evictions of the cycle, X the taker of that eviction, t its job:
// s(X + t) < m. Within the cycle t is evicted from X too (else the set would not come back), and
// leaves s(X) >= m. To return to where it began, s(X) must fall below m. But s never falls except
// by eviction (starts only raise it), and each eviction leaves at least m. Contradiction. Nothing
// was assumed about sizes, nodes, fragmentation or the number of queues. []
//
// Left over are evictions by an entitled taker that take Y below s(X + t), for instance below Y's
// own nominal because a whole job stops. They cannot be forbidden: a queue would not get its
// nominal back from one large borrowed job. For one resource without fragmentation they end as
// well: in a cycle let b be the largest job that is evicted, from queue Y of nominal N. Evictions
// from Y happen above N, so they leave more than N - b. Hence b does not come back as entitled (it
// would have to find Y at N - b or less). Nor in free room: victims are minimal, so an eviction
// leaves less room than its smallest victim, b or less, and starts only shrink it. []
//
// For everything else (trees, several resources, fragmented nodes) the guard bounds it: a job that
// has been reclaimed n times is not reclaimed again before it has run minimum_runtime x 2^n
// (ReclaimGuard). So in any time T a job is reclaimed at most log2(1 + T / minimum_runtime) + 1
// times, whatever the queues do. A strategic reserve takes back at once the first time; from a job
// that has been reclaimed before, after the guard as everybody else.
// tests/compute_fabric/scheduler/queues/reclaim_property_test.cc runs random trees against all
// three.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/queues/tree_data.h"

namespace oneai::fabric {

// See QueueTree::MayReclaim. O(depth x resources).
bool MayReclaim(const QueueTreeData& data, absl::string_view taker, const Amounts& amounts,
                absl::string_view owner, const Amounts& held);

// See QueueTree::MightReclaim.
bool MightReclaim(const QueueTreeData& data, absl::string_view taker, const Amounts& amounts,
                  absl::string_view owner);

// Whether jobs directly in the queue might have to give something back to anybody. O(depth x
// resources).
bool MightGiveBack(const QueueTreeData& data, int queue);

// How long a job that has been reclaimed `times` before must have run before it may be reclaimed:
// minimum_runtime x 2^times, at most 2^20 times that.
absl::Duration ReclaimGuard(absl::Duration minimum_runtime, int times);

}  // namespace oneai::fabric
