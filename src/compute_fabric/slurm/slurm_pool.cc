#include "compute_fabric/slurm/slurm_pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log/log.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kLookGap = absl::Seconds(1);
constexpr absl::Duration kReleaseGap = absl::Seconds(5);
constexpr absl::Duration kRetry = absl::Seconds(2);

}  // namespace

absl::Status SlurmPool::Start() {
  ASSIGN_OR_RETURN(std::vector<SlurmNode> nodes, client_->ListNodes());
  {
    absl::MutexLock lock(&mu_);
    nodes_ = std::move(nodes);
    heard_ = absl::Now();
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void SlurmPool::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void SlurmPool::Run() {
  absl::Time next_look = absl::InfinitePast();
  bool failing = false;
  while (true) {
    Command command;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !commands_.empty();
      };
      mu_.AwaitWithDeadline(absl::Condition(&ready), next_look);
      if (stopping_) return;
      if (!commands_.empty()) {
        command = std::move(commands_.front());
        commands_.pop_front();
      }
    }
    if (command != nullptr) command();
    if (absl::Now() < next_look) continue;
    const absl::Status looked = Look();
    if (!looked.ok() && !failing) Log::Warning("cannot ask Slurm; retrying", {{"error", looked}});
    failing = !looked.ok();
    next_look = absl::Now() + kLookGap;
  }
}

void SlurmPool::Enqueue(Command command) { commands_.push_back(std::move(command)); }

std::vector<SlurmNode> SlurmPool::nodes() const {
  absl::MutexLock lock(&mu_);
  return nodes_;
}

absl::Time SlurmPool::heard() const {
  absl::MutexLock lock(&mu_);
  return heard_;
}

void SlurmPool::Submit(const SlurmSubmission& submission) {
  absl::MutexLock lock(&mu_);
  jobs_[submission.name].node = submission.node;
  Enqueue([this, submission] { DoSubmit(submission); });
}

void SlurmPool::Adopt(const std::string& name, const std::string& node) {
  absl::MutexLock lock(&mu_);
  Job& job = jobs_[name];
  job.node = node;
  // A look that is under way may have asked before an earlier process submitted.
  job.known_from = answers_ + 2;
}

void SlurmPool::Signal(const std::string& name, int signal_number) {
  absl::MutexLock lock(&mu_);
  const auto job = jobs_.find(name);
  if (job == jobs_.end() || job->second.id == 0) return;
  Enqueue([this, id = job->second.id, signal_number] {
    const absl::Status sent = client_->Signal(id, signal_number);
    if (!sent.ok()) Log::Warning("Slurm did not pass a signal on", {{"error", sent}});
  });
}

void SlurmPool::Cancel(const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto job = jobs_.find(name);
  if (job == jobs_.end() || job->second.cancelled) return;
  job->second.cancelled = true;
  Enqueue([this, name] { DoCancel(name); });
}

void SlurmPool::Forget(const std::string& name) {
  absl::MutexLock lock(&mu_);
  jobs_.erase(name);
}

SlurmView SlurmPool::Find(const std::string& name) const {
  absl::MutexLock lock(&mu_);
  const auto job = jobs_.find(name);
  return job == jobs_.end() ? SlurmView{.phase = SlurmPhase::kEnded} : job->second.view;
}

void SlurmPool::DoSubmit(const SlurmSubmission& submission) {
  {
    absl::MutexLock lock(&mu_);
    const auto job = jobs_.find(submission.name);
    if (job == jobs_.end()) return;
    if (job->second.cancelled) {
      job->second.view = {SlurmPhase::kEnded, "cancelled before Slurm had it"};
      return;
    }
  }
  const absl::StatusOr<int64_t> id = client_->SubmitHeld(submission);
  if (!id.ok()) {
    Log::Warning("Slurm took no job", {{"name", submission.name}, {"error", id.status()}});
    // An sbatch that was cut off may have submitted: squeue tells within two answers.
    absl::MutexLock lock(&mu_);
    const auto job = jobs_.find(submission.name);
    if (job == jobs_.end()) return;
    job->second.known_from = answers_ + 2;
    job->second.view.message = std::string(id.status().message());
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    const auto job = jobs_.find(submission.name);
    if (job != jobs_.end()) {
      job->second.id = *id;
      job->second.view.phase = SlurmPhase::kQueued;
      job->second.known_from = answers_ + 2;
      job->second.release_again = absl::Now() + kReleaseGap;
    }
  }
  Release(submission.name, *id, submission.node);
}

void SlurmPool::Release(const std::string& name, int64_t id, const std::string& node) {
  const absl::Status released = client_->PinAndRelease(id, node);
  if (!released.ok())
    Log::Warning("Slurm did not release a job; retrying", {{"name", name}, {"error", released}});
}

void SlurmPool::DoCancel(const std::string& name) {
  int64_t id = 0;
  {
    absl::MutexLock lock(&mu_);
    const auto job = jobs_.find(name);
    if (job == jobs_.end() || job->second.view.phase == SlurmPhase::kEnded) return;
    id = job->second.id;
  }
  absl::Status cancelled = absl::UnavailableError("not submitted yet");
  if (id != 0) cancelled = client_->Cancel(id);
  if (cancelled.ok()) return;
  absl::SleepFor(std::min(kRetry, absl::Milliseconds(200)));
  absl::MutexLock lock(&mu_);
  if (!stopping_) Enqueue([this, name] { DoCancel(name); });
}

absl::Status SlurmPool::Look() {
  ASSIGN_OR_RETURN(std::vector<SlurmNode> nodes, client_->ListNodes());
  ASSIGN_OR_RETURN(const std::vector<SlurmJob> jobs, client_->ListJobs());
  absl::MutexLock lock(&mu_);
  nodes_ = std::move(nodes);
  heard_ = absl::Now();
  Apply(jobs, ++answers_, heard_);
  return absl::OkStatus();
}

void SlurmPool::Apply(const std::vector<SlurmJob>& jobs, int64_t answer, absl::Time now) {
  std::map<std::string, const SlurmJob*> by_name;
  for (const SlurmJob& job : jobs) {
    const SlurmJob*& newest = by_name[job.name];
    if (newest == nullptr || newest->id < job.id) newest = &job;
  }
  for (auto& [name, job] : jobs_) {
    if (job.view.phase == SlurmPhase::kEnded) continue;
    const auto seen = by_name.find(name);
    if (seen != by_name.end()) {
      Follow(name, job, *seen->second, now);
    } else if (job.known_from > 0 && answer >= job.known_from) {
      job.view.phase = SlurmPhase::kEnded;
      if (job.view.message.empty()) job.view.message = "Slurm does not know the job (any more)";
    }
  }
}

void SlurmPool::Follow(const std::string& name, Job& job, const SlurmJob& seen, absl::Time now) {
  job.id = seen.id;
  switch (seen.state) {
    case SlurmJobState::kFinished:
      job.view = {SlurmPhase::kEnded, !job.refused.empty() ? job.refused
                                                           : absl::StrCat("Slurm: job ", seen.id,
                                                                          " is ", seen.state_name)};
      return;
    case SlurmJobState::kRunning:
      job.view = {SlurmPhase::kRunning, ""};
      return;
    case SlurmJobState::kPending:
      job.view = {SlurmPhase::kQueued, seen.reason};
      if (seen.hopeless() && !job.cancelled) {
        job.cancelled = true;
        job.refused = absl::StrCat("Slurm can never run it: ", seen.reason);
        Log::Warning("Slurm can never run a job", {{"name", name}, {"reason", seen.reason}});
        Enqueue([this, name = name] { DoCancel(name); });
      } else if (seen.held() && now >= job.release_again) {
        job.release_again = now + kReleaseGap;
        Enqueue([this, name = name, id = seen.id, node = job.node] { Release(name, id, node); });
      }
      return;
  }
}

}  // namespace oneai::fabric
