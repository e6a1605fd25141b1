// File: compute_fabric/endpoints/adapter_rollout.h
//
// Running replicas follow the adapters of their endpoint without a restart:
//
//   endpoint's job says what is wanted -> ask each ready replica what it has -> unload, load
//
// Level-triggered: whatever was missed (a replica that came late, a controller that died half way)
// is made up for by the next round. Replicas that start read the same list from their job.
#pragma once

#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/endpoints/replica_adapters.h"

namespace oneai::fabric {

// Of one endpoint; its replicas hold as many at most.
inline constexpr int kEndpointAdaptersMax = 64;

struct AdapterChanges {
  std::vector<std::string> unload;  // first, since a name may come again with other files
  std::vector<AdapterFolder> load;
};

// What a replica that has `loaded` must do to have `wanted`; names in `pending` are left as they
// are. Pure.
AdapterChanges PlanAdapters(const std::vector<AdapterFolder>& wanted,
                            const std::vector<AdapterFolder>& loaded,
                            const std::set<std::string>& pending);

// The adapters that a serving job's settings name; empty if they name none. By name.
std::vector<AdapterFolder> AdaptersOf(const v1::Job& job);
// Replaces them. False: the settings are no JSON object, and nothing has changed.
bool SetAdapters(v1::Job& job, const std::vector<AdapterFolder>& adapters);

// Thread-safe. Start() to Stop(). `state` must outlive it; `replicas` null: replicas learn of
// changes when they start again.
class AdapterRollout {
 public:
  AdapterRollout(FabricState* state, ReplicaAdapters* replicas)
      : state_(state), replicas_(replicas) {}
  ~AdapterRollout() { Stop(); }

  void Start();
  void Stop();

  // Loads `adapter` at every ready replica of the endpoint: what one refuses is taken from the
  // others again, so that all have it or none. kFailedPrecondition: none is ready, so that nobody
  // can tell whether it fits. Until Settle() it is left alone, wanted or not.
  absl::Status Try(const std::string& endpoint, const AdapterFolder& adapter)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Gives up what Try() began: replicas unload it; one that cannot be reached does in a later
  // round.
  void Withdraw(const std::string& endpoint, const std::string& adapter);
  // What Try() began has been written down, or given up: replicas follow the job again, at once.
  void Settle(const std::string& endpoint, const std::string& adapter) ABSL_LOCKS_EXCLUDED(mu_);
  // A change was written down.
  void Nudge() ABSL_LOCKS_EXCLUDED(mu_);

  // One round over all endpoints. For tests; the thread does it after nudges and every few seconds.
  void Round();

 private:
  std::vector<std::string> ReadyReplicas(const std::string& endpoint) const;
  void Follow(const std::string& endpoint, const std::vector<AdapterFolder>& wanted);
  void FollowAt(const std::string& address, const std::string& endpoint,
                const std::vector<AdapterFolder>& wanted);
  std::set<std::string> PendingOf(const std::string& endpoint) const ABSL_LOCKS_EXCLUDED(mu_);

  FabricState* const state_;
  ReplicaAdapters* const replicas_;
  mutable absl::Mutex mu_;
  std::set<std::pair<std::string, std::string>> pending_ ABSL_GUARDED_BY(mu_);
  bool nudged_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace oneai::fabric
