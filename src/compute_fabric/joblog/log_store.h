// File: compute_fabric/joblog/log_store.h
//
// What tasks wrote, as files: <root>/<job id>/<rank>.<attempt>.{output,metrics}. Agents append with
// offsets, so that a lost or repeated message loses and repeats nothing; readers follow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

struct LogName {
  std::string job_id;
  int rank = 0;
  int attempt = 0;
  v1::LogStream stream = v1::OUTPUT;

  bool operator<(const LogName& other) const {
    return std::tie(job_id, rank, attempt, stream) <
           std::tie(other.job_id, other.rank, other.attempt, other.stream);
  }
};

struct LogSlice {
  int64_t offset = 0;  // of data[0]
  std::string data;
  bool eof = false;  // the task has ended and nothing comes after `data`
};

// Thread-safe. Bytes survive a crash of the process at once and a power loss from the append with
// eof on; what a power loss took, the agent sends again, because the size says where to continue.
class LogStore {
 public:
  static constexpr int64_t kAppendBytesMax = 256 << 10;

  // `bytes_max`: kept per file; what comes after is counted but not kept, and readers are told.
  LogStore(std::filesystem::path root, int64_t bytes_max = int64_t{256} << 20)
      : root_(std::move(root)), bytes_max_(bytes_max) {}

  // Appends `data` when `offset` is the present size; writes nothing otherwise. Returns the size
  // after the call: where the agent continues. InvalidArgument: more than kAppendBytesMax, or a job
  // id that is no file name. ResourceExhausted: disk full.
  absl::StatusOr<int64_t> Append(const LogName& name, int64_t offset, absl::string_view data,
                                 bool eof);

  // At most `bytes_max` bytes from `offset` (negative: from the end). Empty when there is nothing
  // yet. A log that nobody wrote is empty.
  absl::StatusOr<LogSlice> Read(const LogName& name, int64_t offset, int64_t bytes_max) const;

  // Waits until the log is larger than `size`, ended, or `timeout` has passed.
  void WaitForData(const LogName& name, int64_t size, absl::Duration timeout) const;

  // Attempts of this task of which a log exists, ascending.
  std::vector<int> Attempts(const std::string& job_id, int rank, v1::LogStream stream) const;
  // Removes every log of a job; one that does not exist is no error.
  void Delete(const std::string& job_id);
  // Every log of a job.
  std::vector<LogName> List(const std::string& job_id) const;

 private:
  struct File {
    int64_t size = 0;  // counted, kept or not
    bool eof = false;
    bool busy = false;  // an append is writing
  };
  File& Find(const LogName& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::filesystem::path PathOf(const LogName& name) const;
  absl::Status Write(const LogName& name, int64_t offset, absl::string_view data, bool eof) const;
  std::string Notice() const;

  const std::filesystem::path root_;
  const int64_t bytes_max_;
  mutable absl::Mutex mu_;
  mutable absl::CondVar grown_;
  mutable std::map<LogName, File> files_ ABSL_GUARDED_BY(mu_);
};

}  // namespace oneai::fabric
