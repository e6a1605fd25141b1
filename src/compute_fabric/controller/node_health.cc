#include "compute_fabric/controller/node_health.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/joblog/metric_lines.h"
#include "compute_fabric/node/protocol_version.h"
#include "compute_fabric/scheduler/calendar/calendar.h"

namespace oneai::fabric {
namespace {

constexpr size_t kMessageLengthMax = 512;
constexpr int kChecksMax = 2048;

bool IsAgentsOwn(absl::string_view check) {
  return check == kProbeCheck || absl::StartsWith(check, "device:");
}

bool AsksForDrain(absl::string_view check) {
  return IsAgentsOwn(check) || check == kStragglerCheck;
}

v1::HealthCheck* Find(v1::Node& node, absl::string_view name) {
  for (v1::HealthCheck& check : *node.mutable_checks()) {
    if (check.name() == name) return &check;
  }
  return nullptr;
}

// "device:gpu-3: Xid 79", of the unhealthy checks that `wanted` picks.
template <typename Wanted>
std::string Complaints(const v1::Node& node, Wanted wanted) {
  std::vector<std::string> complaints;
  for (const v1::HealthCheck& check : node.checks()) {
    if (check.healthy() || !wanted(check.name())) continue;
    const absl::string_view name = check.name();
    complaints.push_back(absl::StartsWith(name, "device:")
                             ? absl::StrCat(name.substr(7), ": ", check.message())
                             : check.message());
  }
  return absl::StrJoin(complaints, "; ");
}

}  // namespace

bool SetCheck(v1::Node& node, absl::string_view name, bool healthy, absl::string_view message,
              absl::Time now, EventDrafts& events) {
  v1::HealthCheck* check = Find(node, name);
  if (check == nullptr) {
    if (healthy || node.checks_size() >= kChecksMax) return false;
    check = node.add_checks();
    check->set_name(std::string(name));
    check->set_healthy(true);
  } else if (check->healthy() == healthy) {
    // A message alone is no news: it may hold a number that changes all the time.
    return false;
  }
  check->set_healthy(healthy);
  check->set_message(Printable(message, kMessageLengthMax));
  check->set_since_unix_ms(absl::ToUnixMillis(now));
  events.push_back({healthy ? "node.check_passed" : "node.check_failed", node.info().name(),
                    absl::StrCat(name, check->message().empty() ? "" : ": ", check->message()),
                    healthy ? "info" : "warning"});
  return true;
}

bool TakeChecks(v1::Node& node, const v1::HeartbeatRequest& request, const HealthLimits& limits,
                absl::Time now, EventDrafts& events) {
  bool changed = false;
  std::vector<std::string> named;
  for (const v1::HealthCheck& check : request.checks()) {
    if (!IsAgentsOwn(check.name()) || check.name().size() > 160) continue;
    named.push_back(Printable(check.name(), 160));
    changed |= SetCheck(node, named.back(), check.healthy(), check.message(), now, events);
  }
  // An agent that has started again does not know what was: what it does not name has passed.
  for (int i = 0; i < node.checks_size(); ++i) {
    const std::string name = node.checks(i).name();
    if (!IsAgentsOwn(name) || std::find(named.begin(), named.end(), name) != named.end()) continue;
    changed |= SetCheck(node, name, true, "", now, events);
  }
  const absl::Duration skew =
      request.unix_ms() == 0 ? absl::ZeroDuration() : absl::FromUnixMillis(request.unix_ms()) - now;
  const bool in_time = absl::AbsDuration(skew) <= limits.clock_skew_max;
  changed |= SetCheck(
      node, kClockCheck, in_time,
      in_time ? ""
              : absl::StrCat(
                    "its clock is ",
                    absl::FormatDuration(absl::Trunc(absl::AbsDuration(skew), absl::Seconds(1))),
                    skew > absl::ZeroDuration() ? " ahead" : " behind",
                    " of the controller's, more than ", absl::FormatDuration(limits.clock_skew_max),
                    "; set it right (NTP)"),
      now, events);
  const int version = request.node().protocol_version();
  changed |= SetCheck(
      node, kVersionCheck, version == kProtocolVersion,
      version == kProtocolVersion
          ? ""
          : absl::StrCat("its agent speaks protocol version ", version, ", this controller ",
                         kProtocolVersion, "; install the same release on both"),
      now, events);
  return changed;
}

bool ApplyHealth(v1::Node& node, const HealthLimits& limits, absl::Time now, EventDrafts& events) {
  const std::string complaints = Complaints(node, AsksForDrain);
  if (complaints.empty()) {
    if (!node.has_drain() || !node.drain().automatic()) return false;
    node.clear_drain();
    events.push_back({"node.back_in_service", node.info().name(),
                      "the checks that had it drained pass again", "info"});
    return true;
  }
  if (node.has_drain()) {
    if (!node.drain().automatic() || node.drain().reason() == complaints) return false;
    node.mutable_drain()->set_reason(complaints);
    return true;
  }
  v1::Drain& drain = *node.mutable_drain();
  drain.set_automatic(true);
  drain.set_by("health check");
  drain.set_reason(complaints);
  drain.set_since_unix_ms(absl::ToUnixMillis(now));
  drain.set_deadline_unix_ms(absl::ToUnixMillis(now + limits.drain_deadline));
  events.push_back({"node.draining", node.info().name(),
                    absl::StrCat("by its health checks: ", complaints), "warning"});
  return true;
}

bool SettleState(v1::Node& node) {
  const std::string not_ready = Complaints(node, [](absl::string_view name) {
    return name == kClockCheck || name == kVersionCheck || name == kGivenUpCheck ||
           name == kProbeCheck;
  });
  v1::NodeState state = v1::READY;
  std::string message = not_ready;
  if (node.has_drain()) {
    state = node.state() == v1::DRAINED ? v1::DRAINED : v1::DRAINING;
    const absl::Time deadline = absl::FromUnixMillis(node.drain().deadline_unix_ms());
    message = absl::StrCat(
        state == v1::DRAINED ? "out of service" : absl::StrCat("until ", FormatInstant(deadline)),
        node.drain().reason().empty() ? "" : ": ", node.drain().reason());
  } else if (!not_ready.empty()) {
    state = v1::NOT_READY;
  } else if (node.cordoned()) {
    state = v1::CORDONED;
  }
  if (node.state() == state && node.message() == message) return false;
  node.set_state(state);
  node.set_message(message);
  return true;
}

}  // namespace oneai::fabric
