// File: compute_fabric/controller/job_index.h
//
// Which jobs are where: so that a heartbeat, a change or a tick costs what it touches, however many
// jobs the store holds. Derived from the records; never stored.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// How far the jobs of an array have come.
struct ArrayProgress {
  int num_jobs = 0;
  int num_unfinished = 0;
  int num_holding = 0;  // have a place: placed, running or stopping
  int num_succeeded = 0;
};

// Thread-safe. All lists are sorted: by id, or by index within an array.
class JobIndex {
 public:
  // A job as it is at `revision`. An older revision than is known changes nothing: commits are
  // installed in any order.
  void Update(const v1::Job& job, int64_t revision);
  void Remove(const std::string& id);

  std::vector<std::string> Unfinished() const;
  // Unfinished ones of kind "serve".
  std::vector<std::string> Serving() const;
  // Those with a task that holds resources of the node.
  std::vector<std::string> OnNode(const std::string& node) const;

  std::vector<std::string> OfArray(const std::string& array_id) const;
  ArrayProgress ProgressOf(const std::string& array_id) const;
  // The first `limit` jobs of the array that wait for a place.
  std::vector<std::string> WaitingOfArray(const std::string& array_id, int limit) const;
  // Unfinished jobs that depend on this job or array.
  std::vector<std::string> DependentsOf(const std::string& id) const;

  int64_t num_finished() const;
  // Finished jobs, the one that ended first at the front, at most `limit`.
  std::vector<std::string> OldestFinished(int limit) const;

  // Jobs that changed (or went) since the reader's last call.
  enum class Reader { kLoop, kSchedule };
  std::vector<std::string> TakeChanged(Reader reader);

 private:
  struct Facts {
    int64_t revision = 0;
    bool finished = false;
    bool succeeded = false;
    bool holding = false;
    bool serving = false;
    int64_t ended_ms = 0;
    std::string array_id;
    int array_index = 0;
    std::vector<std::string> nodes;         // sorted, each once
    std::vector<std::string> dependencies;  // of an unfinished job
  };
  struct Array {
    absl::btree_map<int, std::string> jobs;
    absl::btree_map<int, std::string> waiting;
    int num_unfinished = 0;
    int num_succeeded = 0;
  };
  static Facts FactsOf(const v1::Job& job, int64_t revision);
  void Insert(const std::string& id, const Facts& facts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(const std::string& id, const Facts& facts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  using Ids = absl::btree_set<std::string>;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Facts> facts_ ABSL_GUARDED_BY(mu_);
  Ids unfinished_ ABSL_GUARDED_BY(mu_);
  Ids serving_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Ids> on_node_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Array> arrays_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Ids> dependents_ ABSL_GUARDED_BY(mu_);
  absl::btree_set<std::pair<int64_t, std::string>> finished_ ABSL_GUARDED_BY(mu_);
  std::array<Ids, 2> changed_ ABSL_GUARDED_BY(mu_);  // by Reader
};

}  // namespace oneai::fabric
