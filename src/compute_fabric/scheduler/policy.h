// File: compute_fabric/scheduler/policy.h
//
// The knobs of the scheduler, as one value. Defaults are what the fabric ships; `oneai sim` and the
// experiments set others.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace oneai::fabric {

// How a node is chosen among those that fit. All but kOneai are the published baselines of FGD
// (USENIX ATC'23), for comparison; each is one file in scheduler/score/.
enum class ScorePolicy { kOneai, kFgd, kBestFit, kPacking, kClustering, kDotProduct, kRandom };

// What a job that does not fit does to those behind it.
enum class HeadOfLine {
  kBackfill,  // later jobs start if they do not delay its planned start (EASY, Lifka 1995)
  kSkip,      // later jobs start whenever they fit
  kBlock,     // strict order within the queue
};

struct Policy {
  ScorePolicy score = ScorePolicy::kOneai;
  HeadOfLine head_of_line = HeadOfLine::kBackfill;
  // Waiting jobs that get a planned start a pass: more is fairer to large jobs, less is faster.
  int reservations_max = 8;
  // A gang whose start cannot be foreseen, since jobs without time limit are in its way, keeps
  // nodes from more such jobs once it has waited for this long.
  absl::Duration hold_after = absl::Minutes(5);
  // A job's place in line among its equals in priority is its submission plus its time limit, at
  // most this (LineDelay): short jobs go first, yet nobody is overtaken by a job submitted more
  // than this later. On the Philly trace it halves EASY's mean completion time at a lower longest
  // wait. 0: first come, first served.
  absl::Duration overtake_max = absl::Hours(24);
  // A job at the front of its queue's line that has waited for this long is served before other
  // queues' jobs, however much its queue uses (quotas still hold): fair shares order who goes
  // first, they do not starve anybody. Infinite: they may.
  absl::Duration overdue_after = absl::Hours(24);
  // Jobs looked at behind the first one that waits, per queue and pass.
  int backfill_depth = 1000;

  // Sharing between queues.
  absl::Duration usage_half_life = absl::Hours(24 * 7);  // 0: usage is forgotten at once
  bool preemption = true;
  // A job that has run for less is not reclaimed: two queues cannot take from each other for ever.
  absl::Duration minimum_runtime = absl::Minutes(10);
  int evictions_max = 64;  // a pass

  // Elastic gangs: not resized again before this, so that a checkpoint is worth its cost.
  absl::Duration resize_interval = absl::Minutes(5);
  bool throughput_aware =
      true;  // Gavel's max-min over device kinds; else first alternative that fits

  std::map<std::string, double> price_per_hour;  // by resource name, per unit (core, GiB, device)
  uint64_t seed = 0;                             // kRandom, and the steady order of nodes
};

// For JobView::line_delay.
inline absl::Duration LineDelay(const Policy& policy, absl::Duration time_limit) {
  return std::min(time_limit, policy.overtake_max);
}

}  // namespace oneai::fabric
