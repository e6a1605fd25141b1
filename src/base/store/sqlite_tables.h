// File: base/store/sqlite_tables.h
//
// The store's tables on one SQLite connection:
//   kv(key, value, create_revision, mod_revision, lease_id)   the present state
//   leases(id, ttl_ms)                                        granted and not ended
//   meta(name, value)                                         'revision': of the last commit
// The application id marks the file as ours, user_version is the format (1).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/store/sqlite_database.h"
#include "base/store/store.h"

namespace oneai {

// Makes the tables in a new file; checks an old one. DataLoss: damaged. FailedPrecondition: another
// program's database, or a newer format.
absl::Status PrepareStoreFile(const SqliteDatabase& database, const std::string& path);

// Prepared statements over the tables. Thread-compatible.
class SqliteTables {
 public:
  struct Lease {
    int64_t id;
    absl::Duration ttl;
  };

  static absl::StatusOr<std::unique_ptr<SqliteTables>> Create(
      std::unique_ptr<SqliteDatabase> database);

  const SqliteDatabase& database() const { return *database_; }

  // nullopt: no such key.
  absl::StatusOr<std::optional<KeyValue>> Get(absl::string_view key);
  // As Store::Range, in one read transaction.
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse);
  absl::StatusOr<int64_t> ModRevision(absl::string_view key);  // 0: no such key
  absl::StatusOr<int64_t> Revision();

  // Returns the key's create_revision.
  absl::StatusOr<int64_t> Put(const Mutation& put, int64_t revision);
  absl::StatusOr<bool> Delete(absl::string_view key);  // false: was not there
  absl::Status SaveRevision(int64_t revision);

  absl::StatusOr<int64_t> InsertLease(absl::Duration ttl);
  absl::Status DeleteLease(int64_t lease_id);
  absl::StatusOr<std::vector<std::string>> KeysOfLease(int64_t lease_id);
  absl::StatusOr<std::vector<Lease>> Leases();

 private:
  // In the order of the list in Create.
  enum Query {
    kGet,
    kRange,
    kRangeReverse,
    kModRevision,
    kRevision,
    kPut,
    kDelete,
    kSaveRevision,
    kInsertLease,
    kDeleteLease,
    kKeysOfLease,
    kLeases
  };
  explicit SqliteTables(std::unique_ptr<SqliteDatabase> database)
      : database_(std::move(database)) {}
  absl::Status ReadRange(absl::string_view first, absl::string_view last, int64_t limit,
                         bool reverse, RangeResult& result);

  const std::unique_ptr<SqliteDatabase> database_;
  std::vector<SqliteStatement> statements_;
};

}  // namespace oneai
