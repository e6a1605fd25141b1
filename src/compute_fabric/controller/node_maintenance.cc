#include "compute_fabric/controller/node_maintenance.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

constexpr char kBy[] = "maintenance window ";

bool IsNear(const v1::Reservation& window, absl::Time now) {
  return window.kind() == v1::MAINTENANCE &&
         now >= absl::FromUnixMillis(window.start_unix_ms()) - kMaintenanceLead &&
         now < absl::FromUnixMillis(window.end_unix_ms());
}

bool Names(const v1::Reservation& window, const std::string& node) {
  return std::find(window.nodes().begin(), window.nodes().end(), node) != window.nodes().end();
}

}  // namespace

std::vector<MaintenanceChange> PlanMaintenance(const std::vector<const v1::Node*>& nodes,
                                               const std::vector<const v1::Reservation*>& windows,
                                               absl::Time now) {
  std::vector<MaintenanceChange> changes;
  for (const v1::Node* node : nodes) {
    const std::string& name = node->info().name();
    const auto window = std::find_if(windows.begin(), windows.end(), [&](const v1::Reservation* w) {
      return IsNear(*w, now) && Names(*w, name);
    });
    if (window == windows.end()) {
      if (node->has_drain() && absl::StartsWith(node->drain().by(), kBy)) {
        changes.push_back({.node = name});
      }
      continue;
    }
    if (node->has_drain()) continue;
    const absl::Time start = absl::FromUnixMillis((*window)->start_unix_ms());
    MaintenanceChange change{.node = name, .begin = true};
    change.drain.set_by(absl::StrCat(kBy, (*window)->name()));
    change.drain.set_reason((*window)->reason().empty() ? (*window)->name() : (*window)->reason());
    change.drain.set_since_unix_ms(absl::ToUnixMillis(now));
    change.drain.set_deadline_unix_ms(absl::ToUnixMillis(std::max(start, now)));
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace oneai::fabric
