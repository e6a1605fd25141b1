// File: compute_fabric/node/log_shipper.cc
#include "compute_fabric/node/log_shipper.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>

#include "absl/random/random.h"
#include "absl/time/clock.h"
#include "base/grpc/channel.h"
#include "base/log/log.h"
#include "compute_fabric/shim/task_files.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::fabric {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr int kChunksPerRound = 16;  // so that one flood does not hold up the other tasks
constexpr absl::Duration kPeriod = absl::Milliseconds(150);
constexpr absl::Duration kRetryMax = absl::Seconds(5);

// Up to kChunkBytes from `offset`; empty at the end or when the file does not exist yet.
std::string ReadChunk(const std::filesystem::path& file, int64_t offset) {
  std::string data;
  // The task owns its folder: a link to another file, or a pipe that would make this wait, is not
  // its output.
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return data;
  data.resize(kChunkBytes);
  const ssize_t n = pread(fd, data.data(), data.size(), offset);
  data.resize(std::max<ssize_t>(n, 0));
  close(fd);
  return data;
}

}  // namespace

// Owned by the shipping thread, apart from `complete`.
struct LogShipper::Stream {
  TaskKey key;
  v1::LogStream kind = v1::OUTPUT;
  std::filesystem::path file;
  std::optional<int64_t> offset;  // unknown until the controller said it
  absl::Duration retry = absl::ZeroDuration();
  absl::Time not_before = absl::InfinitePast();
  std::atomic<bool> complete = false;

  // Sends what is new, at most kChunksPerRound messages. `ended` was read before the file is.
  void Ship(v1::NodeService::Stub& stub, bool ended, absl::BitGen& random) {
    if (complete || absl::Now() < not_before) return;
    for (int i = 0; i < kChunksPerRound; ++i) {
      v1::AppendLogRequest request;
      request.mutable_task()->set_job_id(key.job_id);
      request.mutable_task()->set_rank(key.rank);
      request.mutable_task()->set_attempt(key.attempt);
      request.set_stream(kind);
      if (offset.has_value()) {
        request.set_offset(*offset);
        request.set_data(ReadChunk(file, *offset));
        const bool at_end = request.data().size() < kChunkBytes;
        request.set_eof(ended && at_end);
        if (request.data().empty() && !request.eof()) return;
      }
      if (!Send(stub, request, random)) return;
    }
  }

  // False: stop for this round.
  bool Send(v1::NodeService::Stub& stub, const v1::AppendLogRequest& request,
            absl::BitGen& random) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(10));
    v1::AppendLogResponse response;
    const grpc::Status status = stub.AppendLog(&context, request, &response);
    if (status.ok()) {
      retry = absl::ZeroDuration();
      const bool accepted =
          offset.has_value() &&
          response.size() == *offset + static_cast<int64_t>(request.data().size());
      offset = response.size();
      if (accepted && request.eof()) complete = true;
      return !complete;
    }
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      Log::Warning("controller does not know the task; its log is dropped",
                   {{"task", key.FolderName()}});
      complete = true;
      return false;
    }
    retry = std::clamp(retry * 2, absl::Milliseconds(200), kRetryMax);
    not_before = absl::Now() + retry * absl::Uniform(random, 0.5, 1.0);
    return false;
  }
};

LogShipper::LogShipper(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}

LogShipper::~LogShipper() { Stop(); }

void LogShipper::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void LogShipper::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void LogShipper::Follow(const TaskKey& key, const std::filesystem::path& task_dir) {
  absl::MutexLock lock(&mu_);
  if (tasks_.contains(key)) return;
  Task& task = tasks_[key];
  const std::pair<v1::LogStream, const char*> kinds[] = {{v1::OUTPUT, kOutputFile},
                                                         {v1::METRICS, kMetricsFile}};
  for (const auto& [kind, file] : kinds) {
    auto stream = std::make_shared<Stream>();
    stream->key = key;
    stream->kind = kind;
    stream->file = task_dir / file;
    task.streams.push_back(std::move(stream));
  }
}

void LogShipper::MarkEnded(const TaskKey& key) {
  absl::MutexLock lock(&mu_);
  const auto it = tasks_.find(key);
  if (it != tasks_.end()) it->second.ended = true;
}

bool LogShipper::IsComplete(const TaskKey& key) const {
  absl::MutexLock lock(&mu_);
  const auto it = tasks_.find(key);
  return it != tasks_.end() &&
         std::all_of(it->second.streams.begin(), it->second.streams.end(),
                     [](const auto& stream) { return stream->complete.load(); });
}

void LogShipper::Drop(const TaskKey& key) {
  absl::MutexLock lock(&mu_);
  tasks_.erase(key);
}

bool LogShipper::EndedAreComplete() const {
  for (const auto& [key, task] : tasks_) {
    for (const auto& stream : task.streams) {
      if (task.ended && !stream->complete) return false;
    }
  }
  return true;
}

void LogShipper::Flush(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (absl::Now() < deadline) {
    {
      absl::MutexLock lock(&mu_);
      if (EndedAreComplete()) return;
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

void LogShipper::Loop() {
  const std::unique_ptr<v1::NodeService::Stub> stub = v1::NodeService::NewStub(channel_);
  absl::BitGen random;
  while (true) {
    std::vector<std::pair<std::shared_ptr<Stream>, bool>> round;
    {
      absl::MutexLock lock(&mu_);
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), kPeriod);
      if (stopping_) return;
      for (const auto& [key, task] : tasks_) {
        for (const auto& stream : task.streams) round.push_back({stream, task.ended});
      }
    }
    for (const auto& [stream, ended] : round) stream->Ship(*stub, ended, random);
  }
}

}  // namespace oneai::fabric
