#include "compute_fabric/controller/node_requests.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/controller/cluster_view.h"
#include "compute_fabric/controller/node_health.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/calendar/reservation.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kDrainDefault = absl::Minutes(15);
constexpr absl::Duration kDrainMax = absl::Hours(24 * 7);
constexpr int kLabelsMax = 64;
constexpr size_t kReasonMax = 512;
constexpr size_t kReservationsMax = 10'000;

absl::Status NoSuchNode(const std::string& name) {
  return absl::NotFoundError(
      absl::StrCat("no node ", Printable(name, 128), "; `oneai node list` shows what there is"));
}

std::vector<ReservationSpec> SpecsOf(const std::vector<Record<v1::Reservation>>& reservations) {
  std::vector<ReservationSpec> specs;
  for (const auto& reservation : reservations) {
    specs.push_back(MakeReservationSpec(*reservation.value));
  }
  return specs;
}

// When the last job on the node will have ended.
absl::Time BusyUntil(const std::vector<JobRecord>& jobs) {
  absl::Time until = absl::InfinitePast();
  for (const JobRecord& job : jobs) until = std::max(until, TimeLimitEnd(*job.value));
  return until;
}

absl::Status ValidateReservation(const v1::Reservation& wanted) {
  RETURN_IF_ERROR(ValidateName("reservation.name", wanted.name()));
  if (wanted.kind() != v1::MAINTENANCE && wanted.kind() != v1::RESERVED) {
    return absl::InvalidArgumentError("reservation.kind: must be MAINTENANCE or RESERVED");
  }
  if (wanted.kind() == v1::RESERVED) {
    RETURN_IF_ERROR(ValidateProject(wanted.project()));
  } else if (!wanted.project().empty()) {
    return absl::InvalidArgumentError(
        "reservation.project: a maintenance window is nobody's; leave it empty");
  }
  if (wanted.nodes().empty() == (wanted.num_nodes() == 0)) {
    return absl::InvalidArgumentError(
        "reservation.nodes, num_nodes: name the nodes, or say how many; one of both");
  }
  if (wanted.start_unix_ms() < 0 || wanted.end_unix_ms() < 0 ||
      absl::FromUnixMillis(wanted.end_unix_ms()) > absl::FromUnixSeconds(32'503'680'000)) {
    return absl::InvalidArgumentError("reservation.start, end: must lie before the year 3000");
  }
  return absl::OkStatus();
}

// The nearest deadline that a reservation of the node leaves, in words.
std::string NearestDeadline(const std::string& node, const std::vector<ReservationSpec>& specs,
                            absl::Time now) {
  absl::Time first = absl::InfiniteFuture();
  for (const ReservationSpec& spec : specs) {
    if (spec.use != ReservationUse::kReserved || spec.end <= now) continue;
    if (std::find(spec.nodes.begin(), spec.nodes.end(), node) == spec.nodes.end()) continue;
    first = std::min(first, spec.start);
  }
  if (first <= now || first == absl::InfiniteFuture()) return "; --force drains it all the same";
  return absl::StrCat("; a deadline of at most ",
                      absl::FormatDuration(absl::Trunc(first - now, absl::Seconds(1))),
                      " would do, and --force drains it all the same");
}

}  // namespace

absl::Status NodeRequests::Audited(const std::string& action, const std::string& resource,
                                   const Identity& caller, absl::Status outcome) const {
  if (hooks_->audit) {
    hooks_->audit({caller, action, resource, outcome.ok(), std::string(outcome.message())});
  }
  return outcome;
}

absl::Status NodeRequests::Change(const std::string& action, const std::string& name,
                                  const Identity& caller, oneai::fabric::Change<v1::Node> change) {
  absl::Status outcome = CheckPermission(caller, Permission::kManageNodes, kEveryUnit);
  if (outcome.ok() && state_->nodes().Find(name).value == nullptr) outcome = NoSuchNode(name);
  if (outcome.ok()) outcome = state_->UpdateNode(name, change).status();
  return Audited(action, absl::StrCat("node/", Printable(name, 128)), caller, outcome);
}

absl::Status NodeRequests::Drain(const v1::DrainNodeRequest& request, const Identity& caller) {
  const absl::Time now = state_->Now();
  const absl::Duration length =
      request.deadline_ms() == 0 ? kDrainDefault : absl::Milliseconds(request.deadline_ms());
  absl::Status outcome = CheckPermission(caller, Permission::kManageNodes, kEveryUnit);
  const std::string resource = absl::StrCat("node/", Printable(request.name(), 128));
  if (outcome.ok() && (length < absl::ZeroDuration() || length > kDrainMax)) {
    outcome = absl::InvalidArgumentError(
        absl::StrCat("deadline: ", absl::FormatDuration(length), " is not within 0 to ",
                     absl::FormatDuration(kDrainMax), "; the nearest valid value is ",
                     absl::FormatDuration(std::clamp(length, absl::Seconds(1), kDrainMax))));
  }
  if (outcome.ok() && !request.force()) {
    const std::vector<ReservationSpec> specs = SpecsOf(state_->reservations().All());
    outcome = CheckDrain(request.name(), now, now + length, specs);
    if (!outcome.ok()) {
      outcome = absl::Status(
          outcome.code(),
          absl::StrCat(outcome.message(), NearestDeadline(request.name(), specs, now)));
    }
  }
  if (!outcome.ok()) return Audited("node.drain", resource, caller, outcome);
  return Change("node.drain", request.name(), caller, [&](v1::Node& node, EventDrafts& events) {
    v1::Drain& drain = *node.mutable_drain();
    drain.set_reason(Printable(request.reason(), kReasonMax));
    drain.set_deadline_unix_ms(absl::ToUnixMillis(now + length));
    drain.set_automatic(false);
    drain.set_by(caller.principal.name());
    drain.set_since_unix_ms(absl::ToUnixMillis(now));
    if (node.state() != v1::LOST) SettleState(node);
    events.push_back(
        {"node.draining", request.name(),
         absl::StrCat("by ", caller.principal.name(), " until ", FormatInstant(now + length),
                      drain.reason().empty() ? "" : ": ", drain.reason()),
         "info"});
    return true;
  });
}

absl::Status NodeRequests::SetLabels(const v1::SetNodeLabelsRequest& request,
                                     const Identity& caller) {
  for (const auto& [key, value] : request.set()) {
    RETURN_IF_ERROR(ValidateName("label", key));
    RETURN_IF_ERROR(ValidateName(absl::StrCat("label ", key), value));
  }
  for (const std::string& key : request.remove()) RETURN_IF_ERROR(ValidateName("label", key));
  if (request.set_size() > kLabelsMax || request.remove_size() > kLabelsMax) {
    return absl::InvalidArgumentError(absl::StrCat("labels: at most ", kLabelsMax));
  }
  absl::Status too_many;
  const absl::Status outcome =
      Change("node.label", request.name(), caller, [&](v1::Node& node, EventDrafts& events) {
        auto& labels = *node.mutable_labels();
        for (const auto& [key, value] : request.set()) labels[key] = value;
        for (const std::string& key : request.remove()) labels.erase(key);
        if (static_cast<int>(labels.size()) > kLabelsMax) {
          too_many = absl::InvalidArgumentError(
              absl::StrCat("labels: node ", request.name(), " would have ", labels.size(),
                           ", more than ", kLabelsMax, "; remove some"));
          return false;
        }
        events.push_back({"node.labelled", request.name(),
                          absl::StrCat("by ", caller.principal.name()), "info"});
        return true;
      });
  return outcome.ok() ? too_many : outcome;
}

absl::Status NodeRequests::SetSpare(const v1::SetNodeSpareRequest& request,
                                    const Identity& caller) {
  return Change("node.spare", request.name(), caller, [&](v1::Node& node, EventDrafts& events) {
    if (node.spare() == request.spare()) return false;
    node.set_spare(request.spare());
    node.clear_standing_in_for();
    events.push_back({request.spare() ? "node.spare_held" : "node.spare_released", request.name(),
                      absl::StrCat("by ", caller.principal.name()), "info"});
    return true;
  });
}

absl::Status NodeRequests::CheckReservationRights(const v1::Reservation& reservation,
                                                  const Identity& caller) const {
  const absl::Status sre = CheckPermission(caller, Permission::kManageNodes, kEveryUnit);
  if (sre.ok() || reservation.kind() != v1::RESERVED) return sre;
  return CheckPermission(caller, Permission::kManageQueues, BusinessUnitOf(reservation.project()));
}

absl::StatusOr<v1::Reservation> NodeRequests::Complete(v1::Reservation wanted,
                                                       const Identity& caller) const {
  RETURN_IF_ERROR(ValidateReservation(wanted));
  const absl::Time now = state_->Now();
  if (wanted.start_unix_ms() == 0) wanted.set_start_unix_ms(absl::ToUnixMillis(now));
  wanted.set_reason(Printable(wanted.reason(), kReasonMax));
  wanted.set_created_by(caller.principal.name());
  const std::vector<Record<v1::Reservation>> existing = state_->reservations().All();
  if (existing.size() >= kReservationsMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there are ", kReservationsMax, " reservations; delete old ones first"));
  }
  const std::vector<ReservationSpec> specs = SpecsOf(existing);
  std::set<std::string> named;
  for (const std::string& node : wanted.nodes()) {
    if (state_->nodes().Find(node).value == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("reservation.nodes: ", NoSuchNode(node).message()));
    }
    if (!named.insert(node).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("reservation.nodes: ", node, " is named twice"));
    }
  }
  if (wanted.nodes().empty()) {
    std::vector<NodeSpec> node_specs;
    for (const Record<v1::Node>& node : state_->nodes().All()) {
      node_specs.push_back(MakeNodeSpec(*node.value, specs, now));
    }
    std::vector<ReservableNode> reservable;
    for (const NodeSpec& spec : node_specs) {
      reservable.push_back({&spec, BusyUntil(state_->JobsOnNode(spec.name))});
    }
    // A window that lies in the past or ends before it begins must be said before nodes are sought.
    ReservationSpec window = MakeReservationSpec(wanted);
    window.nodes = {"any"};
    RETURN_IF_ERROR(CheckReservation(window, {}, now));
    ASSIGN_OR_RETURN(
        const std::vector<std::string> chosen,
        ChooseNodes(reservable, {wanted.node_selector().begin(), wanted.node_selector().end()},
                    wanted.num_nodes(), window.start, window.end));
    wanted.mutable_nodes()->Assign(chosen.begin(), chosen.end());
  }
  RETURN_IF_ERROR(CheckReservation(MakeReservationSpec(wanted), specs, now));
  return wanted;
}

absl::StatusOr<v1::Reservation> NodeRequests::CreateReservation(const v1::Reservation& wanted,
                                                                const Identity& caller) {
  const std::string resource = absl::StrCat("reservation/", Printable(wanted.name(), 128));
  const auto audited = [&](absl::Status outcome) {
    return Audited("reservation.create", resource, caller, std::move(outcome));
  };
  if (const absl::Status rights = CheckReservationRights(wanted, caller); !rights.ok()) {
    return audited(rights);
  }
  const absl::StatusOr<v1::Reservation> complete = Complete(wanted, caller);
  if (!complete.ok()) return audited(complete.status());
  if (state_->reservations().Find(wanted.name()).value != nullptr) {
    return audited(absl::AlreadyExistsError(absl::StrCat(
        "there is a reservation ", wanted.name(), "; delete it first, or choose another name")));
  }
  EventDrafts events;
  events.push_back(
      {"reservation.created", wanted.name(),
       absl::StrCat("by ", caller.principal.name(), ": ", complete->nodes_size(), " nodes from ",
                    FormatInstant(absl::FromUnixMillis(complete->start_unix_ms())), " to ",
                    FormatInstant(absl::FromUnixMillis(complete->end_unix_ms()))),
       "info"});
  RETURN_IF_ERROR(
      audited(state_->CommitReservation(wanted.name(), &*complete, /*revision_before=*/0, events)));
  return *complete;
}

std::vector<v1::Reservation> NodeRequests::ListReservations() const {
  std::vector<v1::Reservation> reservations;
  for (const auto& record : state_->reservations().All()) reservations.push_back(*record.value);
  std::stable_sort(reservations.begin(), reservations.end(),
                   [](const v1::Reservation& a, const v1::Reservation& b) {
                     return a.start_unix_ms() < b.start_unix_ms();
                   });
  return reservations;
}

absl::Status NodeRequests::DeleteReservation(const std::string& name, const Identity& caller) {
  const std::string resource = absl::StrCat("reservation/", Printable(name, 128));
  const Record<v1::Reservation> record = state_->reservations().Find(name);
  absl::Status outcome =
      record.value == nullptr
          ? absl::NotFoundError(absl::StrCat("no reservation ", Printable(name, 128),
                                             "; `oneai node reservation list` shows what there is"))
          : CheckReservationRights(*record.value, caller);
  if (outcome.ok()) {
    EventDrafts events;
    events.push_back(
        {"reservation.deleted", name, absl::StrCat("by ", caller.principal.name()), "info"});
    outcome = state_->CommitReservation(name, nullptr, record.revision, events);
  }
  return Audited("reservation.delete", resource, caller, outcome);
}

}  // namespace oneai::fabric
