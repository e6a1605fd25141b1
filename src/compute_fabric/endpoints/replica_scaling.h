// File: compute_fabric/endpoints/replica_scaling.h
//
// How many replicas an endpoint should have: a pure function of its load now and of what it has
// needed lately. Up at once, down only when the load has been low for a whole window.
//
//   observe load -> needed now -> peak of the window -> keep | up | down
//
// Why it does not swing. Up to `needed` = ceil(load / target) at once, down to no less than the
// window's peak of `settled` = ceil(load / (0.8 target)) >= needed: under constant load every count
// from needed to settled stays as it is. Where fewer replicas bring the load back (each is slower
// when it is full), every return after a way down doubles the window, up to 16 times.
//
// Source: Kubernetes' HorizontalPodAutoscaler (stabilisation window), Knative (target concurrency).
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace oneai::fabric {

struct ScaleSpec {
  int replicas_min = 1;
  int replicas_max = 1;
  double target_in_flight = 8;  // requests at a time that a replica should have; above 0
  // How long the load must have been low: longer keeps replicas idle, shorter starts them again and
  // again.
  absl::Duration window = absl::Minutes(5);
};

// Of all gateways that were heard lately, added up.
struct EndpointLoadSum {
  double in_flight = 0;  // answers are coming
  double queued = 0;     // without a first token
};

struct ReplicaCount {
  int wanted = 1;
  std::vector<bool> ready;  // by rank
};

// What an endpoint has needed. Empty after the controller has started: a whole window passes before
// anything goes down.
struct ScaleHistory {
  struct Peak {
    absl::Time when;
    int settled = 0;
  };
  std::deque<Peak>
      peaks;  // falling, so that the window's peak is at the front; at most one per count
  absl::Time watched_since = absl::InfiniteFuture();
  absl::Time last_down = absl::InfinitePast();
  int num_returns = 0;  // up again soon after a way down
};

struct ScaleDecision {
  int replicas = 1;
  std::string reason;    // in words; the same while nothing that matters changes
  ScaleHistory history;  // for the next decision
};

// `load` nullopt: unknown, which changes nothing but bounds that were moved. The result is within
// the bounds. Going down it leaves no fewer ready replicas than the load needs, for replicas go
// from the highest rank down whether they are ready or not.
ScaleDecision DecideReplicas(const ScaleSpec& spec, const std::optional<EndpointLoadSum>& load,
                             const ReplicaCount& current, const ScaleHistory& history,
                             absl::Time now);

}  // namespace oneai::fabric
