// File: serving/gateway/usage_journal.cc
#include "serving/gateway/usage_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "absl/memory/memory.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files/files.h"
#include "base/ids.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

namespace fs = std::filesystem;

// Lines: unit TAB model TAB requests TAB prompt TAB completion TAB errors; names C-escaped, so they
// hold neither tab nor newline.
std::string EncodeLine(const UsageDelta& delta) {
  return absl::StrCat(absl::CEscape(delta.business_unit), "\t", absl::CEscape(delta.model), "\t",
                      delta.requests, "\t", delta.prompt_tokens, "\t", delta.completion_tokens,
                      "\t", delta.errors, "\n");
}

std::optional<UsageDelta> DecodeLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, '\t');
  UsageDelta delta;
  if (fields.size() != 6 || !absl::CUnescape(fields[0], &delta.business_unit) ||
      !absl::CUnescape(fields[1], &delta.model) || !absl::SimpleAtoi(fields[2], &delta.requests) ||
      !absl::SimpleAtoi(fields[3], &delta.prompt_tokens) ||
      !absl::SimpleAtoi(fields[4], &delta.completion_tokens) ||
      !absl::SimpleAtoi(fields[5], &delta.errors)) {
    return std::nullopt;
  }
  return delta;
}

std::optional<int64_t> SequenceOf(const fs::path& file) {
  const std::string name = file.filename().string();
  absl::string_view number = name;
  int64_t sequence = 0;
  if (!absl::ConsumePrefix(&number, "usage-") || !absl::ConsumeSuffix(&number, ".log") ||
      !absl::SimpleAtoi(number, &sequence)) {
    return std::nullopt;
  }
  return sequence;
}

absl::StatusOr<std::string> ReadOrDrawId(const fs::path& file) {
  absl::StatusOr<std::string> id = ReadFile(file, 256);
  if (id.ok() && !id->empty()) return id;
  if (!id.ok() && !absl::IsNotFound(id.status())) return id.status();
  const std::string drawn = NewId("gateway-");
  RETURN_IF_ERROR(WriteFileAtomically(file, drawn));
  return drawn;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UsageJournal>> UsageJournal::Open(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return ErrnoStatus(error.value(), dir.string());
  ASSIGN_OR_RETURN(std::string id, ReadOrDrawId(dir / "gateway-id"));
  auto journal = absl::WrapUnique(new UsageJournal(dir, std::move(id)));
  absl::MutexLock lock(&journal->mu_);
  for (const auto& file : fs::directory_iterator(dir, error)) {
    if (const std::optional<int64_t> sequence = SequenceOf(file.path())) {
      journal->sealed_.push_back(*sequence);
    }
  }
  std::sort(journal->sealed_.begin(), journal->sealed_.end());
  journal->open_sequence_ = journal->sealed_.empty() ? 0 : journal->sealed_.back();
  RETURN_IF_ERROR(journal->OpenNext());
  return journal;
}

UsageJournal::~UsageJournal() {
  if (fd_ >= 0) close(fd_);
}

fs::path UsageJournal::FileOf(int64_t sequence) const {
  return dir_ / absl::StrCat("usage-", sequence, ".log");
}

absl::Status UsageJournal::OpenNext() {
  const fs::path path = FileOf(open_sequence_ + 1);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, path.string());
  RETURN_IF_ERROR(SyncDirectory(dir_));
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  ++open_sequence_;
  open_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status UsageJournal::Record(const UsageDelta& delta) {
  const std::string line = EncodeLine(delta);
  absl::MutexLock lock(&mu_);
  // One write, so that lines are whole; a torn last line after a crash of the machine is ignored
  // when read.
  if (write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    const int error = errno;
    // Half a line would spoil the next one too.
    [[maybe_unused]] const int cut = ftruncate(fd_, open_bytes_);
    return ErrnoStatus(error, FileOf(open_sequence_).string());
  }
  open_bytes_ += static_cast<int64_t>(line.size());
  return absl::OkStatus();
}

absl::StatusOr<UsageBatch> UsageJournal::ReadBatch(int64_t sequence) const {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(FileOf(sequence), int64_t{1} << 30));
  std::map<std::pair<std::string, std::string>, UsageDelta> sums;
  const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  for (absl::string_view line :
       absl::StrSplit(absl::string_view(text).substr(0, whole), '\n', absl::SkipEmpty())) {
    const std::optional<UsageDelta> delta = DecodeLine(line);
    if (!delta.has_value()) continue;
    UsageDelta& sum = sums[{delta->business_unit, delta->model}];
    sum.business_unit = delta->business_unit;
    sum.model = delta->model;
    sum.requests += delta->requests;
    sum.prompt_tokens += delta->prompt_tokens;
    sum.completion_tokens += delta->completion_tokens;
    sum.errors += delta->errors;
  }
  UsageBatch batch{sequence, {}};
  for (auto& [key, sum] : sums) batch.deltas.push_back(std::move(sum));
  return batch;
}

absl::StatusOr<std::optional<UsageBatch>> UsageJournal::NextBatch() {
  absl::MutexLock lock(&mu_);
  if (sealed_.empty()) {
    if (open_bytes_ == 0) return std::nullopt;
    if (fsync(fd_) != 0) return ErrnoStatus(errno, FileOf(open_sequence_).string());
    const int64_t sequence = open_sequence_;
    RETURN_IF_ERROR(OpenNext());
    sealed_.push_back(sequence);
  }
  ASSIGN_OR_RETURN(UsageBatch batch, ReadBatch(sealed_.front()));
  return batch;
}

absl::Status UsageJournal::Acknowledge(int64_t sequence) {
  absl::MutexLock lock(&mu_);
  if (sealed_.empty() || sealed_.front() != sequence) {
    return absl::FailedPreconditionError(
        absl::StrCat("usage batch ", sequence, " is not the oldest one waiting"));
  }
  if (unlink(FileOf(sequence).c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, FileOf(sequence).string());
  }
  sealed_.erase(sealed_.begin());
  return SyncDirectory(dir_);
}

}  // namespace oneai::serving
