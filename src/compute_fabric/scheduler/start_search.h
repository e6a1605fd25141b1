// File: compute_fabric/scheduler/start_search.h
//
// The earliest instant at which a waiting job fits, and where, if nothing new comes.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/kept_places.h"
#include "compute_fabric/scheduler/release_events.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

struct FoundStart {
  absl::Time start;
  const DeviceAlternative* device = nullptr;         // of the job's; null: none
  std::vector<std::pair<NodeIndex, int64_t>> nodes;  // with the number of tasks
};

// What a search may count on beyond tasks that end by their limit.
enum class Horizon { kKnownEnds, kAllEnds };

// Walks the releases in order and stops at the first instant at which tasks_min of the job's tasks
// (one, if it is no gang) fit with one of its device alternatives, beside all that is kept, off
// the holds of the calendar, and within one domain where its topology wish requires it.
// kAllEnds: when there is no such instant, the infinite future, on the nodes with most room before.
// nullopt: never. Looks at the nodes that have room now (state.candidates must follow the policy),
// then at those where something is released, until the start.
std::optional<FoundStart> FindStart(SchedulerState& state, const JobView& job, absl::Time now,
                                    const KeptPlaces& kept, ReleaseEvents& releases,
                                    Horizon horizon);

}  // namespace oneai::fabric
