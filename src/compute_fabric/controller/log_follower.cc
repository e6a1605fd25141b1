#include "compute_fabric/controller/log_follower.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kChunkBytes = 64 << 10;
constexpr absl::Duration kPoll = absl::Milliseconds(100);
// An ended task whose node never says that its output is complete (a lost node) is waited for this
// long.
constexpr absl::Duration kEofWait = absl::Seconds(5);

int NewestAttempt(const v1::Job& job, int rank) {
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() == rank) return task.attempt();
  }
  return 0;
}

bool TaskEnded(const v1::Job& job, int rank, int attempt) {
  if (IsFinished(job.state())) return true;
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() == rank && task.attempt() == attempt) return !IsActive(task.state());
  }
  return NewestAttempt(job, rank) > attempt;
}

absl::Status Validate(const v1::Job& job, const v1::ReadLogRequest& request) {
  if (request.rank() < 0 ||
      (request.rank() >= job.spec().num_tasks() && NewestAttempt(job, request.rank()) == 0)) {
    return absl::NotFoundError(absl::StrCat("job ", job.id(), " has no rank ", request.rank(),
                                            "; its ranks are 0 to ", job.spec().num_tasks() - 1));
  }
  if (request.attempt() < 0 || request.attempt() > std::max(job.attempt(), 1)) {
    return absl::NotFoundError(absl::StrCat("job ", job.id(), " has no attempt ", request.attempt(),
                                            "; the newest is ", job.attempt()));
  }
  if (!v1::LogStream_IsValid(request.stream()))
    return absl::InvalidArgumentError("stream: must be OUTPUT or METRICS");
  return absl::OkStatus();
}

}  // namespace

absl::Status FollowLog(const FabricState& state, const LogStore& logs,
                       const v1::ReadLogRequest& request,
                       absl::FunctionRef<bool(const v1::LogChunk&)> send,
                       absl::FunctionRef<bool()> cancelled) {
  std::shared_ptr<const v1::Job> job = state.jobs().Find(request.job_id()).value;
  if (job == nullptr)
    return absl::NotFoundError(absl::StrCat("no job ", request.job_id().substr(0, 128)));
  RETURN_IF_ERROR(Validate(*job, request));
  LogName name{.job_id = job->id(),
               .rank = request.rank(),
               .attempt = request.attempt(),
               .stream = request.stream() == v1::METRICS ? v1::METRICS : v1::OUTPUT};
  int64_t offset = request.offset();
  absl::Time ended_at = absl::InfiniteFuture();
  int64_t version = 0;
  while (!cancelled()) {
    job = state.jobs().Find(request.job_id()).value;
    if (name.attempt == 0) name.attempt = NewestAttempt(*job, name.rank);
    if (name.attempt == 0) {  // not placed yet
      if (!request.follow() || IsFinished(job->state())) return absl::OkStatus();
      version = state.WaitForChange(version, kPoll);
      continue;
    }
    const bool ended =
        TaskEnded(*job, name.rank, name.attempt);  // before the read: what follows is then all
    ASSIGN_OR_RETURN(LogSlice slice, logs.Read(name, offset, kChunkBytes));
    offset = slice.offset + static_cast<int64_t>(slice.data.size());
    if (!slice.data.empty()) {
      v1::LogChunk chunk;
      chunk.set_offset(slice.offset);
      chunk.set_attempt(name.attempt);
      chunk.set_data(std::move(slice.data));
      if (!send(chunk)) return absl::OkStatus();
      continue;
    }
    if (!request.follow()) return absl::OkStatus();
    if (ended) ended_at = std::min(ended_at, absl::Now());
    if (slice.eof || (ended && absl::Now() > ended_at + kEofWait)) {
      if (request.attempt() != 0 || IsFinished(job->state())) return absl::OkStatus();
      if (const int newest = NewestAttempt(*job, name.rank); newest > name.attempt) {
        name.attempt = newest;
        offset = 0;
        ended_at = absl::InfiniteFuture();
      } else {
        version = state.WaitForChange(version, kPoll);
      }
      continue;
    }
    logs.WaitForData(name, offset, kPoll);
  }
  return absl::CancelledError("the reader left, or the controller is stopping");
}

}  // namespace oneai::fabric
