// File: compute_fabric/slurm/slurm_pool.h
//
// One thread that talks to Slurm, so that a hanging slurmctld stops no heartbeat:
//
//   submit, signal, cancel (queued) -> commands -> sinfo, squeue every second -> a snapshot to read
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/slurm/slurm_client.h"

namespace oneai::fabric {

// What Slurm does with one of our jobs, known by its name.
enum class SlurmPhase {
  kSubmitting,  // not yet answered by Slurm
  kQueued,      // Slurm has it; it does not run yet
  kRunning,
  kEnded,  // also refused, or unknown to Slurm
};

struct SlurmView {
  SlurmPhase phase = SlurmPhase::kSubmitting;
  std::string message;  // "Slurm: NODE_FAIL", "sbatch failed: ..."
};

// Start() to Stop(). Thread-safe; no call but Stop waits for a command.
class SlurmPool {
 public:
  // `client` must outlive the pool.
  explicit SlurmPool(const SlurmClient* client) : client_(client) {}
  ~SlurmPool() { Stop(); }

  // Reads the nodes once, so that the caller can fail early, and starts the thread. Unavailable,
  // NotFound: see SlurmClient.
  absl::Status Start();
  void Stop();

  // The nodes as last heard; `heard`: when.
  std::vector<SlurmNode> nodes() const;
  absl::Time heard() const;

  // Hands a job over. The name must be new.
  void Submit(const SlurmSubmission& submission);
  // Follows a job that an earlier process submitted; one that it left held is let go on `node`.
  void Adopt(const std::string& name, const std::string& node);
  void Signal(const std::string& name, int signal_number);
  void Cancel(const std::string& name);
  void Forget(const std::string& name);
  // A name that was neither submitted nor adopted is kEnded.
  SlurmView Find(const std::string& name) const;

 private:
  struct Job {
    SlurmView view;
    std::string node;
    int64_t id = 0;  // 0: not known yet
    // Counts of squeue answers: one that began before the submit cannot know the job.
    int64_t known_from = 0;
    bool cancelled = false;
    std::string refused;  // why it can never run
    absl::Time release_again = absl::InfinitePast();
  };
  using Command = std::function<void()>;

  void Run();
  void Enqueue(Command command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DoSubmit(const SlurmSubmission& submission);
  void DoCancel(const std::string& name);
  void Release(const std::string& name, int64_t id, const std::string& node);
  absl::Status Look();
  void Apply(const std::vector<SlurmJob>& jobs, int64_t answer, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Follow(const std::string& name, Job& job, const SlurmJob& seen, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SlurmClient* const client_;
  std::thread thread_;

  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Command> commands_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::vector<SlurmNode> nodes_ ABSL_GUARDED_BY(mu_);
  absl::Time heard_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  int64_t answers_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace oneai::fabric
