// File: compute_fabric/controller/fabric_state.h
//
// The fabric's durable state as the controller sees it: the store's records in memory, and the one
// way to change them.
//
//   read record -> change a copy -> commit (compare: record and epoch unchanged) -> install -> wake
//   watchers
//
// Nothing is visible before it is on stable storage, and no lock is held while it is written.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/store/store.h"
#include "compute_fabric/controller/job_index.h"
#include "compute_fabric/controller/versioned_table.h"
#include "compute_fabric/events/event_log.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_usage.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::fabric {

using JobRecord = Record<v1::Job>;

// A change of one record: edits the copy and adds events; false leaves everything as it is.
template <typename Message>
using Change = absl::FunctionRef<bool(Message&, EventDrafts&)>;

// A job that the scheduler places, and the nodes as it saw them.
struct PlacementCommit {
  JobRecord job;
  JobPlacement placement;
  std::vector<Record<v1::Node>> nodes;
};

// Thread-safe. `store` and `clock` must outlive it.
class FabricState {
 public:
  // `prices`: of what ended tasks have used.
  FabricState(Store* store, const Clock* clock, PricePerHour prices = {})
      : store_(store), clock_(clock), prices_(std::move(prices)) {}

  // Raises the epoch, which shuts out every earlier controller, and reads everything. DataLoss.
  absl::Status Load();
  int64_t epoch() const { return epoch_; }

  const VersionedTable<v1::Job>& jobs() const { return jobs_; }
  const VersionedTable<v1::Node>& nodes() const { return nodes_; }
  const VersionedTable<v1::Endpoint>& endpoints() const { return endpoints_; }
  const VersionedTable<v1::Queue>& queues() const { return queues_; }
  const VersionedTable<v1::JobArray>& arrays() const { return arrays_; }
  const VersionedTable<v1::Reservation>& reservations() const { return reservations_; }
  const EventLog& events() const { return events_; }
  const PricePerHour& prices() const { return prices_; }
  // Where jobs are, without walking them all.
  const JobIndex& job_index() const { return index_; }
  JobIndex& job_index() { return index_; }
  // Their records; a job that went in between is left out.
  std::vector<JobRecord> FindJobs(const std::vector<std::string>& ids) const;
  // Those with a task that holds resources of the node.
  std::vector<JobRecord> JobsOnNode(const std::string& node) const {
    return FindJobs(index_.OnNode(node));
  }
  Store& store() const { return *store_; }
  absl::Time Now() const { return clock_->Now(); }

  // Changes a record, from the newest one however often others get in between (bounded). `extra` is
  // committed with it when the change is made. NotFound (jobs, endpoints), FailedPrecondition
  // (another controller took over), ResourceExhausted (disk full).
  absl::StatusOr<JobRecord> UpdateJob(const std::string& id, Change<v1::Job> change);
  absl::StatusOr<Record<v1::Endpoint>> UpdateEndpoint(const std::string& name,
                                                      Change<v1::Endpoint> change);
  // These make the record when there is none.
  absl::StatusOr<Record<v1::Node>> UpdateNode(const std::string& name, Change<v1::Node> change);

  // Writes a new job under its request key, and the endpoint that it serves (`endpoint` with its
  // job id filled in, when it is still the one of `endpoint_revision`; 0: new): all or none.
  // Aborted: job or request exist, or the endpoint has changed.
  absl::StatusOr<JobRecord> CreateJob(const v1::Job& job, const std::string& request_key,
                                      const EventDrafts& events,
                                      const v1::Endpoint* endpoint = nullptr,
                                      int64_t endpoint_revision = 0);
  // Writes new jobs with whatever else `transaction` holds: all or none. Aborted: one of them
  // exists, or a compare of the transaction does not hold.
  absl::Status CreateJobs(const std::vector<v1::Job>& jobs, Transaction transaction,
                          const EventDrafts& events);
  // Writes an array's record (and its request key, when it is new) together with the events.
  absl::Status PutArray(const v1::JobArray& array, int64_t revision_before,
                        const std::string& request_key, const EventDrafts& events);
  // Places the jobs, all or none, only if they and the nodes are still those of the snapshot, and
  // the queues still those of `queues_revision`. Aborted: plan again.
  absl::Status CommitPlacements(const std::vector<PlacementCommit>& commits,
                                int64_t queues_revision);
  // Of the last change of any queue; read before planning.
  int64_t queues_revision() const;
  // Deletes finished jobs (and arrays) with whatever else `transaction` holds, if they are still
  // what they were. Aborted: they changed.
  absl::Status DeleteJobs(const std::vector<JobRecord>& jobs,
                          const std::vector<Record<v1::JobArray>>& arrays, Transaction transaction);
  // Replaces or (null) deletes queues, all or none, with their events, if no queue has changed
  // since `queues_revision`. Aborted: read the queues again.
  absl::Status CommitQueues(const std::map<std::string, const v1::Queue*>& queues,
                            const EventDrafts& events, int64_t queues_revision);
  absl::Status DeleteEndpoint(const std::string& name);
  // Writes a reservation, or (null) deletes it, if it is still the one of `revision_before` (0:
  // new). Aborted: it has changed.
  absl::Status CommitReservation(const std::string& name, const v1::Reservation* reservation,
                                 int64_t revision_before, const EventDrafts& events);
  // Reads again what commits without an answer may have changed (a store behind a network cannot
  // always say). Cheap when there are none.
  absl::Status ResolveDoubts();
  // Any other transaction, under the epoch.
  absl::StatusOr<int64_t> Commit(Transaction transaction);

  // Rises with every change. Waits until it is above `seen` or `timeout` has passed; returns the
  // present one. At most this long, also after Close().
  int64_t version() const;
  int64_t WaitForChange(int64_t seen, absl::Duration timeout) const;
  // For changes outside the store that watchers should look at.
  void Wake();

  // The revision at which the tasks that should run on `node` last changed; never 0.
  int64_t DesiredRevision(const std::string& node) const;

 private:
  template <typename Message>
  absl::StatusOr<Record<Message>> Update(VersionedTable<Message>& table, const std::string& id,
                                         bool create, Change<Message> change);
  absl::Status LearnQueuesRevision();
  // Reads a record again from the store, and tells who watches when it has changed.
  absl::Status RefreshJob(const std::string& id);
  void Installed(const v1::Job* before, const v1::Job& after, int64_t revision);

  Store* const store_;
  const Clock* const clock_;
  const PricePerHour prices_;
  int64_t epoch_ = 0;           // constant after Load
  int64_t epoch_revision_ = 0;  // constant after Load

  VersionedTable<v1::Job> jobs_{"jobs/"};
  VersionedTable<v1::Node> nodes_{"nodes/"};
  VersionedTable<v1::Endpoint> endpoints_{"endpoints/"};
  VersionedTable<v1::Queue> queues_{"queues/"};
  VersionedTable<v1::JobArray> arrays_{"arrays/"};
  VersionedTable<v1::Reservation> reservations_{"reservations/"};
  JobIndex index_;
  EventLog events_;

  mutable absl::Mutex mu_;
  mutable absl::CondVar changed_;
  int64_t version_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t queues_revision_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> doubtful_ ABSL_GUARDED_BY(mu_);  // keys of commits without an answer
  int64_t desired_floor_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<std::string, int64_t> desired_revisions_ ABSL_GUARDED_BY(mu_);
};

// The label that ties a job of kind "serve" to its endpoint.
inline constexpr char kEndpointLabel[] = "oneai-endpoint";

// The task should be on its node: ASSIGNED or RUNNING. A task that is not desired is stopped by its
// node.
bool IsDesired(const v1::Task& task);

}  // namespace oneai::fabric
