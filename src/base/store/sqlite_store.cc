// Idea: fsync costs the same for one commit as for five hundred. Callers queue requests; the writer
// takes all that wait, applies them in one SQLite transaction, syncs once, publishes to watchers,
// then wakes every caller.
#include "base/store/sqlite_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/files/files.h"
#include "base/status.h"
#include "base/store/lease_timer.h"
#include "base/store/sqlite_tables.h"
#include "base/store/watch_hub.h"

namespace oneai {
namespace {

constexpr int kNumReaders = 4;

// An exclusive lock on `<path>.lock` while it lives. flock ends with the process, however it dies.
class FileLock {
 public:
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& path) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
    std::unique_ptr<FileLock> lock(new FileLock(fd));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is locked: another process has this store open; stop it, or use another folder"));
    }
    return lock;
  }
  ~FileLock() { close(fd_); }

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

struct WriteRequest {
  enum class Kind { kCommit, kGrantLease, kEndLease };
  Kind kind;
  const Transaction* transaction = nullptr;  // kCommit
  absl::Duration ttl;                        // kGrantLease
  int64_t lease_id = 0;                      // kEndLease

  absl::StatusOr<int64_t> result = 0;  // revision, or the lease id
  int64_t new_revision = 0;            // 0: nothing changed
  std::vector<WatchEvent> events;
  absl::Notification done;
};

class SqliteStoreImpl final : public Store {
 public:
  SqliteStoreImpl(std::unique_ptr<FileLock> lock, std::unique_ptr<SqliteTables> writer,
                  std::vector<std::unique_ptr<SqliteTables>> readers, int64_t revision,
                  const std::vector<SqliteTables::Lease>& leases, const SqliteStoreOptions& options)
      : options_(options),
        lock_(std::move(lock)),
        hub_(revision),
        readers_(std::move(readers)),
        tables_(std::move(writer)),
        revision_(revision),
        lease_timer_([this](int64_t id) { return EndLease(id).ok(); }) {
    for (const SqliteTables::Lease& lease : leases) lease_timer_.Add(lease.id, lease.ttl);
    writer_ = std::thread([this] { WriteLoop(); });
  }

  ~SqliteStoreImpl() override {
    lease_timer_.Stop();
    {
      absl::MutexLock lock(&queue_mu_);
      stopping_ = true;
    }
    writer_.join();
  }

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override {
    Reader reader(this);
    ASSIGN_OR_RETURN(std::optional<KeyValue> item, reader->Get(key));
    if (item.has_value()) return *std::move(item);
    return absl::NotFoundError(absl::StrCat("no key \"", absl::CHexEscape(key), "\" in the store"));
  }

  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit) const override {
    return Range(prefix, PrefixEnd(prefix), limit, false);
  }

  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override {
    if (limit < 0) return absl::InvalidArgumentError("limit must be 0 (all) or more");
    Reader reader(this);
    return reader->Range(first, last, limit, reverse);
  }

  absl::StatusOr<int64_t> Commit(const Transaction& transaction) override {
    RETURN_IF_ERROR(ValidateTransaction(transaction));
    WriteRequest request{WriteRequest::Kind::kCommit, &transaction};
    return Write(request);
  }

  int64_t revision() const override { return hub_.revision(); }

  std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t, const std::vector<WatchEvent>&)> on_events) override {
    return hub_.Watch(std::move(prefix), std::move(on_events));
  }

  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    if (ttl < absl::Milliseconds(1) || ttl > absl::Hours(24 * 366)) {
      return absl::InvalidArgumentError("a lease lasts from 1 ms to a year");
    }
    WriteRequest request{WriteRequest::Kind::kGrantLease, nullptr, ttl};
    return Write(request);
  }

  absl::Status RenewLease(int64_t lease_id) override {
    return lease_timer_.Renew(lease_id) ? absl::OkStatus() : LeaseNotFound(lease_id);
  }

  absl::Status RevokeLease(int64_t lease_id) override {
    if (!lease_timer_.Remove(lease_id)) return LeaseNotFound(lease_id);
    const absl::Status status = EndLease(lease_id);
    // Its keys are still there: let the timer try again.
    if (!status.ok()) lease_timer_.Add(lease_id, absl::Seconds(1));
    return status;
  }

 private:
  // Borrows one of the reading connections.
  class Reader {
   public:
    explicit Reader(const SqliteStoreImpl* store) : store_(store) {
      absl::MutexLock lock(&store_->readers_mu_,
                           absl::Condition(store_, &SqliteStoreImpl::HasReader));
      tables_ = std::move(store_->readers_.back());
      store_->readers_.pop_back();
    }
    ~Reader() {
      absl::MutexLock lock(&store_->readers_mu_);
      store_->readers_.push_back(std::move(tables_));
    }
    SqliteTables* operator->() { return tables_.get(); }

   private:
    const SqliteStoreImpl* const store_;
    std::unique_ptr<SqliteTables> tables_;
  };
  bool HasReader() const ABSL_SHARED_LOCKS_REQUIRED(readers_mu_) { return !readers_.empty(); }
  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(queue_mu_) {
    return queue_.size() < static_cast<size_t>(options_.num_commits_queued);
  }
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(queue_mu_) {
    return stopping_ || !queue_.empty();
  }

  absl::StatusOr<int64_t> Write(WriteRequest& request) {
    {
      absl::MutexLock lock(&queue_mu_, absl::Condition(this, &SqliteStoreImpl::HasRoom));
      queue_.push_back(&request);
    }
    request.done.WaitForNotification();
    return std::move(request.result);
  }

  absl::Status EndLease(int64_t lease_id) {
    WriteRequest request{WriteRequest::Kind::kEndLease, nullptr, absl::ZeroDuration(), lease_id};
    return Write(request).status();
  }

  void WriteLoop() {
    while (true) {
      std::vector<WriteRequest*> batch;
      {
        absl::MutexLock lock(&queue_mu_, absl::Condition(this, &SqliteStoreImpl::HasWork));
        if (queue_.empty()) return;
        const size_t size =
            std::min(queue_.size(), static_cast<size_t>(options_.num_commits_per_sync));
        batch.assign(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(size));
        queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(size));
      }
      WriteBatch(batch);
      for (WriteRequest* request : batch) Acknowledge(*request);
    }
  }

  // One transaction for all; when the storage refuses it, one for each: a value too large for what
  // the disk has left must not take its neighbours down.
  void WriteBatch(const std::vector<WriteRequest*>& batch) {
    absl::Status status = ApplyAndSync(batch);
    if (status.ok()) return;
    for (WriteRequest* request : batch) {
      if (batch.size() > 1) status = ApplyAndSync({request});
      if (!status.ok()) {
        request->result = status;
        request->new_revision = 0;
      }
    }
  }

  absl::Status ApplyAndSync(const std::vector<WriteRequest*>& batch) {
    RETURN_IF_ERROR(broken_);
    const int64_t revision_before = revision_;
    absl::Status status = tables_->database().Execute("BEGIN IMMEDIATE");
    for (size_t i = 0; status.ok() && i < batch.size(); ++i) status = Apply(*batch[i]);
    if (status.ok() && revision_ != revision_before) status = tables_->SaveRevision(revision_);
    if (status.ok()) status = tables_->database().Execute("COMMIT");
    if (status.ok()) return status;
    revision_ = revision_before;
    absl::Status rollback;
    if (tables_->database().InTransaction()) rollback = tables_->database().Execute("ROLLBACK");
    const bool retryable = absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
    // After a failed sync nobody knows what reached the disk; only recovery on the next open does.
    if (!retryable || !rollback.ok()) {
      broken_ = absl::DataLossError(absl::StrCat(
          status.message(), "; the store takes no more writes: restart the process to recover"));
    }
    return status;
  }

  // Refusals become the request's result; a status other than OK is the storage's.
  absl::Status Apply(WriteRequest& request) {
    request.events.clear();
    request.new_revision = 0;
    switch (request.kind) {
      case WriteRequest::Kind::kCommit:
        return ApplyTransaction(request);
      case WriteRequest::Kind::kGrantLease: {
        ASSIGN_OR_RETURN(request.result, tables_->InsertLease(request.ttl));
        return absl::OkStatus();
      }
      case WriteRequest::Kind::kEndLease:
        return ApplyLeaseEnd(request);
    }
    return absl::InternalError("unknown write request");
  }

  absl::Status ApplyTransaction(WriteRequest& request) {
    for (const Compare& compare : request.transaction->compares) {
      ASSIGN_OR_RETURN(const int64_t found, tables_->ModRevision(compare.key));
      if (found == compare.mod_revision) continue;
      request.result = CompareFailed(compare, found);
      return absl::OkStatus();
    }
    for (const Mutation& mutation : request.transaction->mutations) {
      if (mutation.lease_id == 0 || lease_timer_.Lives(mutation.lease_id)) continue;
      request.result = LeaseNotFound(mutation.lease_id);
      return absl::OkStatus();
    }
    const int64_t next = revision_ + 1;
    for (const Mutation& mutation : request.transaction->mutations) {
      if (mutation.kind == Mutation::Kind::kDelete) {
        RETURN_IF_ERROR(ApplyDelete(mutation.key, next, request));
      } else {
        ASSIGN_OR_RETURN(const int64_t created, tables_->Put(mutation, next));
        request.events.push_back(
            {WatchEvent::Kind::kPut, {mutation.key, mutation.value, created, next}});
      }
    }
    FinishRequest(next, request);
    request.result = revision_;
    return absl::OkStatus();
  }

  absl::Status ApplyLeaseEnd(WriteRequest& request) {
    const int64_t next = revision_ + 1;
    ASSIGN_OR_RETURN(const std::vector<std::string> keys, tables_->KeysOfLease(request.lease_id));
    for (const std::string& key : keys) RETURN_IF_ERROR(ApplyDelete(key, next, request));
    RETURN_IF_ERROR(tables_->DeleteLease(request.lease_id));
    FinishRequest(next, request);
    request.result = revision_;
    return absl::OkStatus();
  }

  absl::Status ApplyDelete(const std::string& key, int64_t revision, WriteRequest& request) {
    ASSIGN_OR_RETURN(const bool deleted, tables_->Delete(key));
    if (deleted) request.events.push_back({WatchEvent::Kind::kDelete, {key, "", 0, revision}});
    return absl::OkStatus();
  }

  void FinishRequest(int64_t next, WriteRequest& request) {
    if (request.events.empty()) return;
    request.new_revision = revision_ = next;
  }

  void Acknowledge(WriteRequest& request) {
    if (request.new_revision != 0) hub_.Publish(request.new_revision, std::move(request.events));
    if (request.kind == WriteRequest::Kind::kGrantLease && request.result.ok()) {
      lease_timer_.Add(*request.result, request.ttl);
    }
    request.done.Notify();  // last: the request lives on its caller's stack
  }

  const SqliteStoreOptions options_;
  const std::unique_ptr<FileLock> lock_;  // first made, last gone
  WatchHub hub_;

  mutable absl::Mutex readers_mu_;
  mutable std::vector<std::unique_ptr<SqliteTables>> readers_ ABSL_GUARDED_BY(readers_mu_);

  // The writer thread's own.
  const std::unique_ptr<SqliteTables> tables_;
  int64_t revision_;
  absl::Status broken_;

  absl::Mutex queue_mu_;
  std::deque<WriteRequest*> queue_ ABSL_GUARDED_BY(queue_mu_);
  bool stopping_ ABSL_GUARDED_BY(queue_mu_) = false;

  LeaseTimer lease_timer_;
  std::thread writer_;
};

absl::StatusOr<std::unique_ptr<SqliteTables>> Connect(const std::string& path,
                                                      const SqliteStoreOptions& options,
                                                      bool prepare) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteDatabase> database, SqliteDatabase::Open(path));
  RETURN_IF_ERROR(database->Execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; "
      "PRAGMA trusted_schema=OFF;"));
  if (prepare) RETURN_IF_ERROR(PrepareStoreFile(*database, path));
  if (options.bytes_max > 0) {
    ASSIGN_OR_RETURN(const int64_t page_bytes, database->QueryInt("PRAGMA page_size"));
    RETURN_IF_ERROR(database->Execute(absl::StrCat(
        "PRAGMA max_page_count=", std::max<int64_t>(1, options.bytes_max / page_bytes))));
  }
  return SqliteTables::Create(std::move(database));
}

// SQLite gives its -wal and -shm files the mode of the database.
absl::Status MakePrivateFile(const std::filesystem::path& path) {
  if (path.has_parent_path()) {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) {
      return ErrnoStatus(error.value(), absl::StrCat("cannot make ", path.parent_path().string()));
    }
  }
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open store ", path.string()));
  close(fd);
  return SyncDirectory(path.parent_path());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> SqliteStore::Open(const std::filesystem::path& path,
                                                         const SqliteStoreOptions& options) {
  RETURN_IF_ERROR(MakePrivateFile(path));
  ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, FileLock::Acquire(path.string() + ".lock"));
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteTables> writer, Connect(path.string(), options, true));
  std::vector<std::unique_ptr<SqliteTables>> readers;
  for (int i = 0; i < kNumReaders; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<SqliteTables> reader, Connect(path.string(), options, false));
    readers.push_back(std::move(reader));
  }
  ASSIGN_OR_RETURN(const int64_t revision, writer->Revision());
  ASSIGN_OR_RETURN(const std::vector<SqliteTables::Lease> leases, writer->Leases());
  return std::make_unique<SqliteStoreImpl>(std::move(lock), std::move(writer), std::move(readers),
                                           revision, leases, options);
}

}  // namespace oneai
