// File: compute_fabric/scheduler/queues/fair_share.h
//
// Who is served next. Figures of one queue among its siblings:
//
//   dominant share  max over resources r of (use_r - nominal_r)+ / capacity_r, over weight
//                   (DRF, Ghodsi et al., NSDI'11; only what is above nominal, as Kueue's DRS)
//   decayed share   the same of average past use (decay.h)
//   saturation      max over r of use_r / nominal_r
//
// Queues within nominal go first, lower saturation first: each gets its own in step with the
// others, and the past does not matter, for nominal is theirs. Those that borrow follow by dominant
// plus decayed share: who has had much goes behind who has had little.
#pragma once

#include "compute_fabric/scheduler/queues/tree_data.h"

namespace oneai::fabric {

// Dominant share of a side after `more` (may be negative: less). For the rest: of all its members
// together against what the nominals leave, with weight 1.
double GroupShare(const QueueTreeData& data, const QueueSide& side, const DenseAmounts& more,
                  int64_t times);
// Dominant share of a queue itself (without nominal: of all it uses), or of the jobs directly in
// `side.parent`.
double OwnShare(const QueueTreeData& data, const QueueSide& side, const DenseAmounts& more);
double OwnDecayedShare(const QueueTreeData& data, const QueueSide& side);
QueueRank RankOfSide(const QueueTreeData& data, const QueueSide& side);
// Whether the side uses more than its nominal (the rest: than what the nominals leave), of any
// resource, after `more`.
bool Borrows(const QueueTreeData& data, const QueueSide& side);

}  // namespace oneai::fabric
