// File: compute_fabric/scheduler/queues/admit.h
//
// Whether a queue may use more: every limit from the queue up to the root.
//
// A queue's footprint is what nobody outside can have: what is in use below it, and nominal that
// it, or a queue below it, keeps to itself (not lent: a sandbox, a lending limit) though it is
// idle. At each queue of the path the footprint must stay within nominal plus borrowing limit. What
// a queue takes out of its own kept nominal does not change its footprint, so nobody above is
// asked: that is why a sandbox starts at once. (Kueue's resource_node.go computes the same from the
// other end.)
#pragma once

#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/queues/tree_data.h"

namespace oneai::fabric {

// See QueueTree::Admit. O(depth x resources).
Admission AdmitAmounts(const QueueTreeData& data, absl::string_view path, const Amounts& amounts);

// See QueueTree::TakesOwnReserve.
bool TakesOwnReserve(const QueueTreeData& data, absl::string_view path, const Amounts& amounts);

}  // namespace oneai::fabric
