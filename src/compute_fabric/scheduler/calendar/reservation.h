// File: compute_fabric/scheduler/calendar/reservation.h
//
// Maintenance windows and reservations as an administrator writes them, checked before they are
// stored, and turned into the holds of each node.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/cluster/node.h"

namespace oneai::fabric {

enum class ReservationUse {
  kMaintenance,  // nobody runs there
  kReserved,     // jobs that name it run there
};

struct ReservationSpec {
  std::string name;
  ReservationUse use = ReservationUse::kMaintenance;
  std::vector<std::string> nodes;
  absl::Time start;
  absl::Time end;
  std::string project;  // whose jobs may name it
  std::string reason;
};

// InvalidArgument: no name or no nodes, ends before it begins or has ended by `now`, or overlaps
// one of `existing` on a node (names both, the node, and the first instant at which it would be
// free for as long).
absl::Status CheckReservation(const ReservationSpec& wanted,
                              const std::vector<ReservationSpec>& existing, absl::Time now);

// A node that could be chosen, and when the last job on it will have ended.
struct ReservableNode {
  const NodeSpec* spec = nullptr;
  absl::Time busy_until = absl::InfinitePast();  // InfiniteFuture: a job without time limit
};

// `num_nodes` nodes that carry all labels of `selector` and are not held between start and end:
// those first that will be free at the start, then those free soonest, then by name.
// InvalidArgument: fewer match; says how many and the nearest valid number.
absl::StatusOr<std::vector<std::string>> ChooseNodes(
    const std::vector<ReservableNode>& nodes, const std::map<std::string, std::string>& selector,
    int num_nodes, absl::Time start, absl::Time end);

// What `node` is held for, by start, the past left out. For NodeSpec::holds.
std::vector<NodeHold> HoldsOf(absl::string_view node,
                              const std::vector<ReservationSpec>& reservations, absl::Time now);

// Whether `node` may be taken out of service until `back`. FailedPrecondition: a reservation of
// jobs needs it before; names the reservation and the latest valid instant.
absl::Status CheckDrain(absl::string_view node, absl::Time now, absl::Time back,
                        const std::vector<ReservationSpec>& reservations);

}  // namespace oneai::fabric
