// File: compute_fabric/controller/node_health.h
//
// A node's health as pure functions on its record: what its checks say, whether it may take tasks,
// and when it is taken out of service and comes back by itself.
//
//   heartbeat -> TakeChecks -> ApplyHealth (drain, return) -> SettleState
//
//   check        unhealthy means                                   raised by
//   clock        NOT_READY: its times cannot be believed           controller
//   version      NOT_READY: agent and controller misunderstand     controller
//   given-up     NOT_READY: it still stops tasks of another time   controller
//   probe        automatic drain                                   agent: --probe
//   device:<id>  automatic drain                                   agent: NVML, ASIC plugin
//   straggler    automatic drain; until an administrator undrains  controller: node_upkeep
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

struct HealthLimits {
  // A clock that is off by more makes the order of what happened a guess.
  absl::Duration clock_skew_max = absl::Seconds(10);
  // How long what runs on a broken node may take to leave it.
  absl::Duration drain_deadline = absl::Minutes(5);
};

inline constexpr char kClockCheck[] = "clock";
inline constexpr char kVersionCheck[] = "version";
inline constexpr char kGivenUpCheck[] = "given-up";
inline constexpr char kProbeCheck[] = "probe";
inline constexpr char kStragglerCheck[] = "straggler";

// Each returns whether `node` changed.

// Sets one check; its `since` stays while its verdict does. A healthy one that was never unhealthy
// is not kept.
bool SetCheck(v1::Node& node, absl::string_view name, bool healthy, absl::string_view message,
              absl::Time now, EventDrafts& events);

// The agent's own checks and what its heartbeat shows of clock and version. The agent speaks for
// "probe" and "device:..." only.
bool TakeChecks(v1::Node& node, const v1::HeartbeatRequest& request, const HealthLimits& limits,
                absl::Time now, EventDrafts& events);

// Begins an automatic drain when a check asks for one, and ends it when none does any more.
bool ApplyHealth(v1::Node& node, const HealthLimits& limits, absl::Time now, EventDrafts& events);

// State and message of a node that is heard: DRAINED stays, else DRAINING, NOT_READY, CORDONED,
// READY, whichever applies first.
bool SettleState(v1::Node& node);

}  // namespace oneai::fabric
