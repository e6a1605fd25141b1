// File: compute_fabric/controller/queue_requests.h
//
// What people ask of the queue tree: who may use how much, and who uses what.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/hooks.h"
#include "compute_fabric/controller/live_schedule.h"

namespace oneai::fabric {

// Thread-safe. The pointers must outlive it.
class QueueRequests {
 public:
  QueueRequests(FabricState* state, LiveSchedule* schedule, const ControllerHooks* hooks)
      : state_(state), schedule_(schedule), hooks_(hooks) {}

  // The queues that the caller may see, with use, shares and the sandboxes that nobody wrote.
  std::vector<v1::Queue> List(const Identity& caller) const;

  // See QueueService. Jobs that run are left alone; new ones obey. All or none.
  absl::StatusOr<v1::Queue> Set(const v1::Queue& queue, const Identity& caller);
  absl::StatusOr<v1::ListQueuesResponse> SetAll(const std::vector<v1::Queue>& queues,
                                                const Identity& caller);
  absl::Status Delete(const std::string& path, const Identity& caller);

 private:
  absl::Status Authorize(const Identity& caller, const std::string& action,
                         const std::string& path) const;
  void Audit(const Identity& caller, const std::string& action, const std::string& path,
             const absl::Status& outcome) const;
  // One attempt. Aborted: the queues have changed since they were read.
  absl::Status Commit(const std::vector<v1::Queue>& queues, const Identity& caller);
  absl::Status CommitDelete(const std::string& path, const Identity& caller);

  FabricState* const state_;
  LiveSchedule* const schedule_;
  const ControllerHooks* const hooks_;
};

}  // namespace oneai::fabric
