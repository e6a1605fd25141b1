#include "base/store/sqlite_tables.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai {
namespace {

constexpr int64_t kApplicationId = 0x6f6e6169;  // "onai"
constexpr int64_t kFormat = 1;

// kv keeps its rowid: values reach megabytes, and a clustered key would drag them through every key
// search.
constexpr absl::string_view kSchema = R"sql(
  BEGIN IMMEDIATE;
  CREATE TABLE kv(
    key BLOB NOT NULL UNIQUE, value BLOB NOT NULL,
    create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL,
    lease_id INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX kv_by_lease ON kv(lease_id) WHERE lease_id != 0;
  CREATE TABLE leases(id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_ms INTEGER NOT NULL);
  CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO meta(name, value) VALUES('revision', 0);
)sql";

KeyValue ReadRow(const SqliteStatement& row) {
  return {row.Blob(0), row.Blob(1), row.Int(2), row.Int(3)};
}

}  // namespace

absl::Status PrepareStoreFile(const SqliteDatabase& database, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t num_tables,
                   database.QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (num_tables == 0) {
    RETURN_IF_ERROR(database.Execute(absl::StrCat(kSchema, "PRAGMA application_id=", kApplicationId,
                                                  "; PRAGMA user_version=", kFormat, "; COMMIT;")));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int64_t application_id, database.QueryInt("PRAGMA application_id"));
  if (application_id != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is another program's SQLite database; choose another file"));
  }
  ASSIGN_OR_RETURN(const int64_t format, database.QueryInt("PRAGMA user_version"));
  if (format != kFormat) {
    return absl::FailedPreconditionError(absl::StrCat("store ", path, " has format ", format,
                                                      ", this program reads ", kFormat,
                                                      "; use the version of oneai that wrote it"));
  }
  ASSIGN_OR_RETURN(const std::string verdict, database.QueryText("PRAGMA quick_check(1)"));
  if (verdict != "ok") return StoreDamaged(path, verdict);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SqliteTables>> SqliteTables::Create(
    std::unique_ptr<SqliteDatabase> database) {
  static constexpr absl::string_view kColumns = "key, value, create_revision, mod_revision";
  // ?3 = 0: no upper bound. LIMIT -1: no limit.
  static constexpr absl::string_view kWhere = " FROM kv WHERE key >= ?1 AND (?3 = 0 OR key < ?2) ";
  const std::string queries[] = {
      absl::StrCat("SELECT ", kColumns, " FROM kv WHERE key = ?1"),
      absl::StrCat("SELECT ", kColumns, kWhere, "ORDER BY key LIMIT ?4"),
      absl::StrCat("SELECT ", kColumns, kWhere, "ORDER BY key DESC LIMIT ?4"),
      "SELECT mod_revision FROM kv WHERE key = ?1",
      "SELECT value FROM meta WHERE name = 'revision'",
      "INSERT INTO kv(key, value, create_revision, mod_revision, lease_id) VALUES(?1, ?2, ?3, ?3, "
      "?4) "
      "ON CONFLICT(key) DO UPDATE SET value = ?2, mod_revision = ?3, lease_id = ?4 "
      "RETURNING create_revision",
      "DELETE FROM kv WHERE key = ?1 RETURNING 1",
      "UPDATE meta SET value = ?1 WHERE name = 'revision'",
      "INSERT INTO leases(ttl_ms) VALUES(?1) RETURNING id",
      "DELETE FROM leases WHERE id = ?1",
      "SELECT key FROM kv WHERE lease_id = ?1 AND lease_id != 0 ORDER BY key",
      "SELECT id, ttl_ms FROM leases",
  };
  std::unique_ptr<SqliteTables> tables(new SqliteTables(std::move(database)));
  for (const std::string& query : queries) {
    ASSIGN_OR_RETURN(SqliteStatement statement, tables->database_->Prepare(query));
    tables->statements_.push_back(std::move(statement));
  }
  return tables;
}

absl::StatusOr<std::optional<KeyValue>> SqliteTables::Get(absl::string_view key) {
  SqliteStatement& query = statements_[kGet];
  ASSIGN_OR_RETURN(const bool found, query.BindBlob(1, key).Step());
  if (!found) return std::nullopt;
  KeyValue item = ReadRow(query);
  query.Reset();
  return item;
}

absl::StatusOr<RangeResult> SqliteTables::Range(absl::string_view first, absl::string_view last,
                                                int64_t limit, bool reverse) {
  RangeResult result;
  RETURN_IF_ERROR(database_->Execute("BEGIN"));
  const absl::Status status = ReadRange(first, last, limit, reverse, result);
  const absl::Status end = database_->Execute("COMMIT");
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(end);
  return result;
}

absl::Status SqliteTables::ReadRange(absl::string_view first, absl::string_view last, int64_t limit,
                                     bool reverse, RangeResult& result) {
  ASSIGN_OR_RETURN(result.revision, Revision());
  SqliteStatement& query = statements_[reverse ? kRangeReverse : kRange];
  query.BindBlob(1, first).BindBlob(2, last);
  query.BindInt(3, last.empty() ? 0 : 1).BindInt(4, limit == 0 ? -1 : limit);
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return absl::OkStatus();
    result.items.push_back(ReadRow(query));
  }
}

absl::StatusOr<int64_t> SqliteTables::ModRevision(absl::string_view key) {
  SqliteStatement& query = statements_[kModRevision];
  ASSIGN_OR_RETURN(const bool found, query.BindBlob(1, key).Step());
  const int64_t revision = found ? query.Int(0) : 0;
  query.Reset();
  return revision;
}

absl::StatusOr<int64_t> SqliteTables::Revision() {
  SqliteStatement& query = statements_[kRevision];
  ASSIGN_OR_RETURN(const bool found, query.Step());
  const int64_t revision = found ? query.Int(0) : 0;
  query.Reset();
  return revision;
}

absl::StatusOr<int64_t> SqliteTables::Put(const Mutation& put, int64_t revision) {
  SqliteStatement& query = statements_[kPut];
  query.BindBlob(1, put.key).BindBlob(2, put.value).BindInt(3, revision).BindInt(4, put.lease_id);
  RETURN_IF_ERROR(query.Step().status());
  const int64_t create_revision = query.Int(0);
  query.Reset();
  return create_revision;
}

absl::StatusOr<bool> SqliteTables::Delete(absl::string_view key) {
  SqliteStatement& query = statements_[kDelete];
  ASSIGN_OR_RETURN(const bool deleted, query.BindBlob(1, key).Step());
  query.Reset();
  return deleted;
}

absl::Status SqliteTables::SaveRevision(int64_t revision) {
  return statements_[kSaveRevision].BindInt(1, revision).Run();
}

absl::StatusOr<int64_t> SqliteTables::InsertLease(absl::Duration ttl) {
  SqliteStatement& query = statements_[kInsertLease];
  RETURN_IF_ERROR(query.BindInt(1, absl::ToInt64Milliseconds(ttl)).Step().status());
  const int64_t id = query.Int(0);
  query.Reset();
  return id;
}

absl::Status SqliteTables::DeleteLease(int64_t lease_id) {
  return statements_[kDeleteLease].BindInt(1, lease_id).Run();
}

absl::StatusOr<std::vector<std::string>> SqliteTables::KeysOfLease(int64_t lease_id) {
  SqliteStatement& query = statements_[kKeysOfLease];
  query.BindInt(1, lease_id);
  std::vector<std::string> keys;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return keys;
    keys.push_back(query.Blob(0));
  }
}

absl::StatusOr<std::vector<SqliteTables::Lease>> SqliteTables::Leases() {
  SqliteStatement& query = statements_[kLeases];
  std::vector<Lease> leases;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) return leases;
    leases.push_back({query.Int(0), absl::Milliseconds(query.Int(1))});
  }
}

}  // namespace oneai
