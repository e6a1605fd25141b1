// File: base/store/sqlite_store.h
//
// The embedded Store: one SQLite file in WAL mode with synchronous=FULL. One thread writes; commits
// that wait while it syncs share the next sync (group commit), and each is acknowledged after its
// own. Reads go beside it.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "base/store/store.h"

namespace oneai {

struct SqliteStoreOptions {
  int64_t bytes_max =
      0;  // of the database file; commits beyond are ResourceExhausted. 0: as the disk has
  int num_commits_queued = 4096;  // more callers of Commit wait
  int num_commits_per_sync = 512;
};

class SqliteStore {
 public:
  // Makes the file (mode 0600) and its folder when absent. FailedPrecondition: another process has
  // it open, or it is not a store. DataLoss: damaged; the message says what to do.
  // ResourceExhausted, PermissionDenied.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::filesystem::path& path,
                                                     const SqliteStoreOptions& options = {});
};

}  // namespace oneai
