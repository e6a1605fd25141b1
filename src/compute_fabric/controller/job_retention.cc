#include "compute_fabric/controller/job_retention.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/status.h"
#include "compute_fabric/controller/fabric_usage.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kEvery = absl::Minutes(1);
constexpr absl::Duration kAbandonedAfter = absl::Hours(1);
constexpr int kLookedAt = 2000;
// So long people can look at what was reserved.
constexpr absl::Duration kReservationKept = absl::Hours(24);
// A deletion is a job, its request, and totals of its usage; etcd takes 128 operations.
constexpr size_t kJobsPerCommit = 20;

}  // namespace

absl::Status JobRetention::Step(absl::Time now) {
  if (now < next_) return absl::OkStatus();
  next_ = now + kEvery;
  RETURN_IF_ERROR(DeleteAbandonedArrays(now));
  RETURN_IF_ERROR(DeleteOldReservations(now));
  return DeleteFinished(now);
}

bool JobRetention::IsNeeded(const v1::Job& job) const {
  const JobIndex& index = state_->job_index();
  if (!index.DependentsOf(job.id()).empty()) return true;
  if (!job.array_id().empty()) {
    if (!index.DependentsOf(job.array_id()).empty()) return true;
    // Its progress counts among that of its array.
    if (index.ProgressOf(job.array_id()).num_unfinished > 0) return true;
  }
  const auto label = job.spec().labels().find(kEndpointLabel);
  if (label == job.spec().labels().end()) return false;
  const Record<v1::Endpoint> endpoint = state_->endpoints().Find(label->second);
  return endpoint.value != nullptr && endpoint.value->job_id() == job.id();
}

absl::Status JobRetention::DeleteFinished(absl::Time now) {
  const int64_t surplus = state_->job_index().num_finished() - options_->finished_jobs_max;
  int64_t looked_at = 0;
  std::vector<JobRecord> chunk;
  for (const JobRecord& job : state_->FindJobs(state_->job_index().OldestFinished(kLookedAt))) {
    const bool is_old = GetTime(job.value->ended()) + options_->job_retention <= now;
    if (!is_old && looked_at >= surplus) break;
    ++looked_at;
    if (!IsFinished(job.value->state()) || IsNeeded(*job.value)) continue;
    chunk.push_back(job);
    if (chunk.size() < kJobsPerCommit) continue;
    RETURN_IF_ERROR(Delete(chunk, {}));
    chunk.clear();
  }
  return chunk.empty() ? absl::OkStatus() : Delete(chunk, {});
}

absl::Status JobRetention::DeleteAbandonedArrays(absl::Time now) {
  for (const Record<v1::JobArray>& array : state_->arrays().All()) {
    if (array.value->whole()) {
      // Its last job has gone.
      if (state_->job_index().ProgressOf(array.value->id()).num_jobs > 0) continue;
      if (!state_->job_index().DependentsOf(array.value->id()).empty()) continue;
      RETURN_IF_ERROR(Delete({}, {array}));
      continue;
    }
    if (GetTime(array.value->submitted()) + kAbandonedAfter > now) continue;
    std::vector<JobRecord> jobs = state_->FindJobs(state_->job_index().OfArray(array.value->id()));
    while (!jobs.empty()) {
      const size_t size = std::min(jobs.size(), kJobsPerCommit);
      RETURN_IF_ERROR(Delete({jobs.end() - static_cast<std::ptrdiff_t>(size), jobs.end()}, {}));
      jobs.resize(jobs.size() - size);
    }
    RETURN_IF_ERROR(Delete({}, {array}));
  }
  return absl::OkStatus();
}

absl::Status JobRetention::DeleteOldReservations(absl::Time now) {
  for (const Record<v1::Reservation>& record : state_->reservations().All()) {
    const v1::Reservation& reservation = *record.value;
    if (absl::FromUnixMillis(reservation.end_unix_ms()) + kReservationKept > now) continue;
    const absl::Status deleted =
        state_->CommitReservation(reservation.name(), nullptr, record.revision, {});
    if (!deleted.ok() && !absl::IsAborted(deleted)) return deleted;
  }
  return absl::OkStatus();
}

absl::Status JobRetention::Delete(const std::vector<JobRecord>& jobs,
                                  const std::vector<Record<v1::JobArray>>& arrays) {
  Transaction transaction;
  RETURN_IF_ERROR(MoveUsageToTotals(*state_, jobs, transaction));
  std::set<std::string> requests;
  for (const JobRecord& job : jobs) {
    if (!job.value->request_id().empty())
      requests.insert(RequestKey(job.value->owner().name(), job.value->request_id()));
  }
  for (const Record<v1::JobArray>& array : arrays) {
    if (!array.value->request_id().empty())
      requests.insert(RequestKey(array.value->owner().name(), array.value->request_id()));
  }
  for (const std::string& key : requests) transaction.Delete(key);
  const absl::Status deleted = state_->DeleteJobs(jobs, arrays, std::move(transaction));
  // One of them is being retried, or another controller's totals moved: next time.
  if (absl::IsAborted(deleted)) return absl::OkStatus();
  RETURN_IF_ERROR(deleted);
  // After the record: output without a job is waste, a job without its output is a loss.
  for (const JobRecord& job : jobs) logs_->Delete(job.value->id());
  return absl::OkStatus();
}

}  // namespace oneai::fabric
