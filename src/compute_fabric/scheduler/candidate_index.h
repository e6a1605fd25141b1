// File: compute_fabric/scheduler/candidate_index.h
//
// Phases 3 and 4, filter and score, kept: for each task shape in use, which nodes have room and how
// good they are. Follows the cluster's change feed when it is asked, so a placement costs what
// changed since, not the number of nodes.
//
//   shape --> score 100: nodes in steady order
//             score  99: ...
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/cluster/job_table.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {

// A node with room for at least one task of a shape.
struct Candidate {
  NodeIndex node = kNoNode;
  int32_t num_fit = 0;  // tasks that fit together
  int32_t score = 0;
  int32_t device = -1;                 // for a share: which (NodeScore::device)
  int32_t nvlink_domain = kAnyDomain;  // that num_fit is of
};

// The candidates of one topology domain.
struct DomainRoom {
  int32_t domain = 0;     // NodeState::domain
  int32_t index = 0;      // for ShapeCandidates::InDomain
  int64_t num_fit = 0;    // tasks, summed over its candidates
  int64_t num_nodes = 0;  // candidates
};

// The candidates of one shape with one device alternative.
class ShapeCandidates {
 public:
  virtual ~ShapeCandidates() = default;
  virtual int64_t num_nodes() const = 0;
  // The largest num_fit of any candidate, counted up to 64.
  virtual int32_t num_fit_max() const = 0;
  // Best first: higher score, then lower NodeState::rank. Until `visit` returns false. The cluster
  // must not change meanwhile.
  virtual void VisitBestFirst(absl::FunctionRef<bool(const Candidate&)> visit) const = 0;

  // Domains of the level with candidates, in the steady order of their first nodes; O(domains).
  // Nothing: not known without a walk over the candidates.
  virtual std::optional<std::vector<DomainRoom>> Domains(TopologyLevel level) const = 0;
  // The candidates of one of them, best first.
  virtual std::vector<Candidate> InDomain(TopologyLevel level, int32_t index) const = 0;
};

// Thread-compatible. Copies start empty: everything here can be derived.
class CandidateIndex {
 public:
  CandidateIndex();
  ~CandidateIndex();
  CandidateIndex(const CandidateIndex&);
  CandidateIndex& operator=(const CandidateIndex&);

  // Binds the policy's scorer to what the jobs ask for ("typical tasks"). Keeps what it has while
  // the policy is the same and demand is about the same (a tenth of the tasks), so that scores are
  // steady. O(shapes in use). Plan calls it once a pass.
  void Follow(const JobTable& jobs, const Policy& policy);
  // Binds to these typical tasks from now on, whatever the jobs are: for experiments.
  void FixTypicalTasks(std::vector<TypicalTask> typical_tasks);
  // Whether Follow has been called with this policy's way of scoring.
  bool IsBoundTo(const Policy& policy) const;

  // As the cluster is now. Valid until the next call. Precondition: Follow has been called.
  const ShapeCandidates& Of(const ClusterState& cluster, const TaskShape& shape,
                            const DeviceAlternative* device);
  const Scorer& scorer() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oneai::fabric
