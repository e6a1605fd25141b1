#include "cli/follow.h"

#include <csignal>
#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/output.h"
#include "nlohmann/json.hpp"
#include "oneai/fabric/v1/job.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Job;
using fabric::v1::JobService;

constexpr absl::Duration kPollInterval = absl::Milliseconds(300);

volatile std::sig_atomic_t g_interrupted = 0;

// Reads what a log has beyond `offset` without waiting. An unreachable controller is no error here:
// the next poll asks again.
absl::Status ReadAvailable(const Session& session, fabric::v1::ReadLogRequest& request,
                           std::string& text) {
  const auto stub = JobService::NewStub(session.controller());
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(10), session.token());
  const auto reader = stub->ReadLog(&context, request);
  fabric::v1::LogChunk chunk;
  while (reader->Read(&chunk)) {
    text += chunk.data();
    request.set_offset(chunk.offset() + static_cast<int64_t>(chunk.data().size()));
  }
  // A character of which only the first bytes have been written comes with the next poll.
  const size_t whole = NumWholeCharacterBytes(text);
  if (whole > 0 && whole < text.size()) {
    request.set_offset(request.offset() - static_cast<int64_t>(text.size() - whole));
    text.resize(whole);
  }
  return FromGrpcStatus(reader->Finish());
}

absl::StatusOr<Job> GetJob(const Session& session, const std::string& id) {
  fabric::v1::GetJobRequest request;
  request.set_id(id);
  return session.Call<JobService>(&JobService::Stub::GetJob, request);
}

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// One line at the bottom of the terminal, redrawn in place; nothing when stdout is not a terminal.
class ProgressLine {
 public:
  void Show(const std::string& text) {
    if (!StdoutIsTerminal()) return;
    std::cout << "\r\x1b[2K" << text << std::flush;
    shown_ = true;
  }
  void Clear() {
    if (shown_) std::cout << "\r\x1b[2K" << std::flush;
    shown_ = false;
  }

 private:
  bool shown_ = false;
};

// "[=====>     ] step 60/120  loss 4.213  41,000 tok/s" from the job's newest metrics; empty before
// the first.
std::string ProgressText(const Session& session, const Job& job) {
  fabric::v1::GetMetricsRequest request;
  request.set_job_id(job.id());
  request.add_names("loss");
  request.add_names("tokens_per_second");
  const auto series =
      session.Call<JobService>(&JobService::Stub::GetMetrics, request, absl::Seconds(5));
  if (!series.ok()) return "";
  int64_t step = -1;
  std::string numbers;
  for (const fabric::v1::MetricSeries& one : series->series()) {
    if (one.points_size() == 0) continue;
    const fabric::v1::MetricPoint& last = *one.points().rbegin();
    step = std::max(step, last.step());
    absl::StrAppend(&numbers, one.name() == "loss" ? absl::StrFormat("  loss %.3f", last.value())
                                                   : absl::StrFormat("  %.0f tok/s", last.value()));
  }
  if (step < 0) return "";
  const nlohmann::json config =
      nlohmann::json::parse(job.spec().config_json(), nullptr, /*allow_exceptions=*/false);
  const int64_t steps =
      config.is_object() && config.contains("max_steps") && config["max_steps"].is_number_integer()
          ? config["max_steps"].get<int64_t>()
          : 0;
  if (steps <= 0) return absl::StrCat("step ", step, numbers);
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(std::min<int64_t>(kWidth, step * kWidth / steps));
  return absl::StrCat("[", std::string(filled, '='), std::string(kWidth - filled, ' '), "] step ",
                      step, "/", steps, numbers);
}

std::string Describe(const Job& job) {
  std::string text = absl::StrCat(JobState_Name(job.state()), " (attempt ", job.attempt(), ")");
  for (const std::string& reason : job.reasons()) absl::StrAppend(&text, "\n  ", Printable(reason));
  return text;
}

}  // namespace

bool HasEnded(const Job& job) {
  return job.state() == fabric::v1::SUCCEEDED || job.state() == fabric::v1::FAILED ||
         job.state() == fabric::v1::CANCELLED;
}

int ExitCodeOfJob(const Job& job) {
  switch (job.state()) {
    case fabric::v1::SUCCEEDED:
      return kExitOk;
    case fabric::v1::FAILED:
      return kExitJobFailed;
    case fabric::v1::CANCELLED:
      return kExitJobCancelled;
    default:
      return kExitJobUnfinished;
  }
}

int PrintLog(const Session& session, const std::string& job_id, int rank, int attempt,
             bool follow) {
  fabric::v1::ReadLogRequest request;
  request.set_job_id(job_id);
  request.set_rank(rank);
  request.set_attempt(attempt);
  for (;;) {
    bool ended = true;
    if (follow) {
      const absl::StatusOr<Job> job = GetJob(session, job_id);
      if (!job.ok() && !IsTransient(job.status())) return Fail(job.status());
      ended = job.ok() && HasEnded(*job);
    }
    std::string text;
    const absl::Status status = ReadAvailable(session, request, text);
    if (!status.ok() && !(follow && (IsTransient(status) || absl::IsNotFound(status))))
      return Fail(session.Explain(status));
    std::cout << Printable(text) << std::flush;
    if (!std::cout) return kExitFailure;
    if (ended && text.empty()) return kExitOk;
    if (text.empty()) absl::SleepFor(kPollInterval);
    if (!follow) return kExitOk;
  }
}

int FollowJob(const Session& session, const std::string& job_id) {
  g_interrupted = 0;
  const auto previous_handler = std::signal(SIGINT, [](int) { g_interrupted = 1; });
  fabric::v1::ReadLogRequest log;
  log.set_job_id(job_id);
  ProgressLine progress;
  std::string last_described;
  int last_attempt = 0;
  int result = kExitOk;
  for (;;) {
    if (g_interrupted != 0) {
      progress.Clear();
      std::cerr << "detached; the job goes on. Again: oneai job logs -f " << job_id << "\n";
      result = 130;
      break;
    }
    const absl::StatusOr<Job> job = GetJob(session, job_id);
    if (!job.ok()) {
      if (!IsTransient(job.status())) {
        result = Fail(job.status());
        break;
      }
      progress.Show("the controller does not answer; trying again");
      absl::SleepFor(absl::Seconds(1));
      continue;
    }
    if (job->attempt() != last_attempt) {
      last_attempt = job->attempt();
      log.set_attempt(last_attempt);
      log.set_offset(0);
    }
    std::string text;
    if (last_attempt > 0) ReadAvailable(session, log, text).IgnoreError();
    const std::string described = Describe(*job);
    if (!text.empty() || described != last_described) progress.Clear();
    std::cout << Printable(text) << std::flush;
    if (described != last_described) std::cout << "== " << job_id << " " << described << std::endl;
    last_described = described;
    if (!std::cout) {  // whoever read has gone: `| head`
      result = kExitFailure;
      break;
    }
    if (HasEnded(*job) && text.empty()) {
      result = ExitCodeOfJob(*job);
      break;
    }
    if (const std::string bar = ProgressText(session, *job); !bar.empty()) progress.Show(bar);
    absl::SleepFor(kPollInterval);
  }
  progress.Clear();
  std::signal(SIGINT, previous_handler);
  return result;
}

int WaitForJob(const Session& session, const std::string& job_id, int timeout_seconds) {
  const absl::Time deadline =
      timeout_seconds > 0 ? absl::Now() + absl::Seconds(timeout_seconds) : absl::InfiniteFuture();
  while (absl::Now() < deadline) {
    const absl::StatusOr<Job> job = GetJob(session, job_id);
    if (absl::IsNotFound(job.status())) {
      Fail(job.status());
      return kExitJobNotFound;
    }
    if (!job.ok() && !IsTransient(job.status())) return Fail(job.status());
    if (job.ok() && HasEnded(*job)) {
      for (const std::string& reason : job->reasons()) std::cerr << Printable(reason) << "\n";
      return ExitCodeOfJob(*job);
    }
    absl::SleepFor(kPollInterval);
  }
  std::cerr << "not finished after " << timeout_seconds << " s; the job goes on\n";
  return kExitJobUnfinished;
}

}  // namespace oneai::cli
