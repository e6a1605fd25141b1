#include "compute_fabric/endpoints/replica_scaling.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

// A replica is taken away only when those left would have at most so much of their target.
constexpr double kDownFill = 0.8;
constexpr int kReturnsMax = 4;

int ReplicasFor(double requests, double per_replica, const ScaleSpec& spec) {
  // The margin keeps 8.000000001 requests from being more than 8.
  const double replicas = std::ceil(requests / per_replica - 1e-6);
  if (replicas >= spec.replicas_max) return spec.replicas_max;
  return std::max(spec.replicas_min, static_cast<int>(replicas));
}

std::string Replicas(int count) {
  return absl::StrCat(count, count == 1 ? " replica" : " replicas");
}

absl::Duration WindowOf(const ScaleSpec& spec, const ScaleHistory& history) {
  return spec.window * (1 << history.num_returns);
}

void Observe(ScaleHistory& history, int settled, absl::Duration window, absl::Time now) {
  history.watched_since = std::min(history.watched_since, now);
  while (!history.peaks.empty() && history.peaks.back().settled <= settled)
    history.peaks.pop_back();
  history.peaks.push_back({now, settled});
  while (history.peaks.front().when + window < now) history.peaks.pop_front();
}

// The fewest replicas, at least `fewest`, of which `needed` are ready; all when there are not.
int FewestSafe(const ReplicaCount& current, int fewest, int needed) {
  int ready = 0;
  for (int count = 1; count < current.wanted; ++count) {
    const size_t rank = static_cast<size_t>(count - 1);
    ready += rank < current.ready.size() && current.ready[rank] ? 1 : 0;
    if (count >= fewest && ready >= needed) return count;
  }
  return current.wanted;
}

ScaleDecision Up(const ScaleSpec& spec, int needed, std::string why, ScaleHistory history,
                 absl::Time now) {
  if (history.last_down > absl::InfinitePast()) {
    const bool soon = now - history.last_down < 2 * WindowOf(spec, history);
    history.num_returns = soon ? std::min(history.num_returns + 1, kReturnsMax) : 0;
    history.last_down = absl::InfinitePast();  // one way down counts once
  }
  return {needed, std::move(why), std::move(history)};
}

}  // namespace

ScaleDecision DecideReplicas(const ScaleSpec& spec, const std::optional<EndpointLoadSum>& load,
                             const ReplicaCount& current, const ScaleHistory& history,
                             absl::Time now) {
  const int bounded = std::clamp(current.wanted, spec.replicas_min, spec.replicas_max);
  ScaleDecision decision{bounded, "", history};
  const absl::Duration window = WindowOf(spec, history);
  if (!load) {
    // What is not known must not look like no load.
    Observe(decision.history, bounded, window, now);
    decision.reason = absl::StrCat("no gateway reports its load; stays at ", Replicas(bounded));
    return decision;
  }
  const double requests = load->in_flight + load->queued;
  const int needed = ReplicasFor(requests, spec.target_in_flight, spec);
  const int settled = ReplicasFor(requests, spec.target_in_flight * kDownFill, spec);
  Observe(decision.history, settled, window, now);
  const bool more = std::ceil(requests / spec.target_in_flight - 1e-6) > spec.replicas_max;
  std::string why = absl::StrCat("the load needs ", more ? "more than the most, " : "",
                                 Replicas(needed), " at ", spec.target_in_flight,
                                 spec.target_in_flight == 1 ? " request each" : " requests each");
  if (bounded != current.wanted) {
    decision.reason = absl::StrCat("bounds are ", spec.replicas_min, " to ", spec.replicas_max);
    return decision;
  }
  if (needed > current.wanted)
    return Up(spec, needed, std::move(why), std::move(decision.history), now);
  const int peak = decision.history.peaks.front().settled;
  const bool watched = now - decision.history.watched_since >= window;
  if (settled >= current.wanted) {
    decision.reason = std::move(why);
    return decision;
  }
  if (peak >= current.wanted || !watched) {
    decision.reason =
        absl::StrCat(why, "; fewer once it has been so low for ", absl::FormatDuration(window));
    return decision;
  }
  const int safe = FewestSafe(current, peak, needed);
  if (safe >= current.wanted) {
    decision.reason = absl::StrCat(why, "; fewer once those that stay are ready");
    return decision;
  }
  decision.replicas = safe;
  decision.reason = absl::StrCat("for ", absl::FormatDuration(window),
                                 " the load has needed at most ", Replicas(peak));
  decision.history.last_down = now;
  return decision;
}

}  // namespace oneai::fabric
