#include "compute_fabric/scheduler/calendar/reservation.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/calendar/calendar.h"

namespace oneai::fabric {
namespace {

bool Overlap(absl::Time start_a, absl::Time end_a, absl::Time start_b, absl::Time end_b) {
  return start_a < end_b && start_b < end_a;
}

bool HasLabels(const NodeSpec& node, const std::map<std::string, std::string>& selector) {
  return absl::c_all_of(selector, [&](const auto& label) {
    const auto it = node.labels.find(label.first);
    return it != node.labels.end() && it->second == label.second;
  });
}

// The first start at or after the wanted one at which no existing reservation overlaps on any of
// the wanted nodes. Each step passes the end of one reservation, so it ends.
absl::Time FirstFreeStart(const ReservationSpec& wanted,
                          const std::vector<ReservationSpec>& existing) {
  const absl::Duration length = wanted.end - wanted.start;
  absl::Time start = wanted.start;
  for (bool moved = true; moved;) {
    moved = false;
    for (const ReservationSpec& other : existing) {
      if (other.name == wanted.name || !Overlap(start, start + length, other.start, other.end))
        continue;
      if (absl::c_none_of(other.nodes, [&](const std::string& node) {
            return absl::c_linear_search(wanted.nodes, node);
          }))
        continue;
      start = other.end;
      moved = true;
    }
  }
  return start;
}

}  // namespace

absl::Status CheckReservation(const ReservationSpec& wanted,
                              const std::vector<ReservationSpec>& existing, absl::Time now) {
  if (wanted.name.empty()) return absl::InvalidArgumentError("name: a reservation needs one");
  if (wanted.nodes.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("reservation ", wanted.name, ": names no node; name some, or say how many"));
  }
  if (wanted.end <= wanted.start) {
    return absl::InvalidArgumentError(
        absl::StrCat("reservation ", wanted.name, ": ends ", FormatInstant(wanted.end),
                     ", not after its start; the end must be after ", FormatInstant(wanted.start)));
  }
  if (wanted.end <= now) {
    return absl::InvalidArgumentError(
        absl::StrCat("reservation ", wanted.name, ": ended ", FormatInstant(wanted.end),
                     "; the end must be after now, ", FormatInstant(now)));
  }
  for (const ReservationSpec& other : existing) {
    if (other.name == wanted.name) continue;
    if (!Overlap(wanted.start, wanted.end, other.start, other.end)) continue;
    for (const std::string& node : wanted.nodes) {
      if (!absl::c_linear_search(other.nodes, node)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("reservation ", wanted.name, " (", FormatInstant(wanted.start), " to ",
                       FormatInstant(wanted.end), ") overlaps reservation ", other.name, " (",
                       FormatInstant(other.start), " to ", FormatInstant(other.end), ") on ", node,
                       "; its nodes are free for as long from ",
                       FormatInstant(FirstFreeStart(wanted, existing))));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ChooseNodes(
    const std::vector<ReservableNode>& nodes, const std::map<std::string, std::string>& selector,
    int num_nodes, absl::Time start, absl::Time end) {
  std::vector<const ReservableNode*> free;
  int num_match = 0;
  for (const ReservableNode& node : nodes) {
    if (!HasLabels(*node.spec, selector)) continue;
    ++num_match;
    if (absl::c_none_of(node.spec->holds, [&](const NodeHold& hold) {
          return Overlap(start, end, hold.start, hold.end);
        }))
      free.push_back(&node);
  }
  if (num_nodes < 1 || static_cast<size_t>(num_nodes) > free.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "num_nodes: asks for ", num_nodes, " nodes; ", num_match, " have the labels, and ",
        free.size(), " of those are not held then",
        free.empty()
            ? ""
            : absl::StrCat("; the nearest valid number is ", num_nodes < 1 ? 1 : free.size())));
  }
  absl::c_sort(free, [&](const ReservableNode* a, const ReservableNode* b) {
    const absl::Time a_free = std::max(a->busy_until, start);
    const absl::Time b_free = std::max(b->busy_until, start);
    return a_free != b_free ? a_free < b_free : a->spec->name < b->spec->name;
  });
  std::vector<std::string> chosen;
  for (int i = 0; i < num_nodes; ++i) chosen.push_back(free[i]->spec->name);
  absl::c_sort(chosen);
  return chosen;
}

std::vector<NodeHold> HoldsOf(absl::string_view node,
                              const std::vector<ReservationSpec>& reservations, absl::Time now) {
  std::vector<NodeHold> holds;
  for (const ReservationSpec& reservation : reservations) {
    if (reservation.end <= now || !absl::c_linear_search(reservation.nodes, node)) continue;
    NodeHold hold{.start = reservation.start, .end = reservation.end};
    if (reservation.use == ReservationUse::kMaintenance) {
      hold.reason = absl::StrCat(
          "maintenance: ", reservation.reason.empty() ? reservation.name : reservation.reason);
    } else {
      hold.reservation = reservation.name;
      hold.reason = absl::StrCat(
          "reserved as ", reservation.name,
          reservation.project.empty() ? "" : absl::StrCat(" for ", reservation.project),
          reservation.reason.empty() ? "" : absl::StrCat(" (", reservation.reason, ")"));
    }
    holds.push_back(std::move(hold));
  }
  absl::c_stable_sort(holds,
                      [](const NodeHold& a, const NodeHold& b) { return a.start < b.start; });
  return holds;
}

absl::Status CheckDrain(absl::string_view node, absl::Time now, absl::Time back,
                        const std::vector<ReservationSpec>& reservations) {
  const ReservationSpec* first = nullptr;
  for (const ReservationSpec& reservation : reservations) {
    if (reservation.use != ReservationUse::kReserved || reservation.end <= now ||
        reservation.start >= back || !absl::c_linear_search(reservation.nodes, node))
      continue;
    if (first == nullptr || reservation.start < first->start) first = &reservation;
  }
  if (first == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "node ", node, " is needed by reservation ", first->name, " from ",
      FormatInstant(first->start), " to ", FormatInstant(first->end),
      first->start <= now
          ? "; delete the reservation or wait for its end"
          : absl::StrCat("; the node must be back by then, not ", FormatInstant(back))));
}

}  // namespace oneai::fabric
