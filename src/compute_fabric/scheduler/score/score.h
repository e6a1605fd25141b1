// File: compute_fabric/scheduler/score/score.h
//
// Phase 4: how good a node is for a task. Whole numbers 0..100, higher is better; among equals the
// node that comes first in a steady order (NodeState::rank): filling near-equal nodes in a fixed
// order is where much of FGD's gain comes from.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/policy.h"

namespace oneai::fabric {

inline constexpr int kScoreMax = 100;

// A task shape with how often it is asked for, of those that make up most of the demand ("typical
// tasks", FGD, Weng et al., USENIX ATC'23). What fragmentation is measured against.
struct TypicalTask {
  TaskShape shape;
  double popularity = 0;  // sums to 1
};

// The most frequent shapes until `coverage` of the tasks is covered. Ties: the larger shape first.
std::vector<TypicalTask> TypicalTasks(const std::vector<TaskShape>& tasks, double coverage = 0.95);

// The coverage that a policy is at its best with: 0.95 as published for kFgd, 0.99 for kOneai.
double DemandCoverage(ScorePolicy policy);

struct NodeScore {
  int score = 0;    // kRandom: any whole number from 0 up
  int device = -1;  // for a shared device: which one, index in NodeState::devices
};

// A policy bound to the demand it expects. Equal arguments give equal scores, whatever came before
// (but for kRandom). Scorers keep what they have computed, so each belongs to one thread.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // Precondition: one more task fits on the node.
  virtual NodeScore Score(const NodeState& node, const TaskShape& shape,
                          const DeviceAlternative* device) const = 0;
  // Whether the score of a node depends only on that node and the shape, so that an index may keep
  // it until the node changes. Random's does not.
  virtual bool IsLocal() const { return true; }
};

// `seed` is of kRandom's choices. Without typical tasks all idle devices count as usable: kFgd and
// kOneai then fill nodes in their steady order.
std::unique_ptr<Scorer> MakeScorer(ScorePolicy policy, std::vector<TypicalTask> typical_tasks,
                                   uint64_t seed = 0);

// "oneai", "fgd", "best_fit", "packing", "clustering", "dot_product", "random".
absl::string_view ScorePolicyName(ScorePolicy policy);
// InvalidArgument: no such policy; the message lists them.
absl::StatusOr<ScorePolicy> ParseScorePolicy(absl::string_view name);

// FGD's F(n): device milli of the node that the typical tasks cannot use, expected over them.
double Fragmentation(const NodeState& node, const std::vector<TypicalTask>& typical_tasks);

}  // namespace oneai::fabric
