#include "base/store/sqlite_database.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai {

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

SqliteStatement& SqliteStatement::BindInt(int index, int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(int index, absl::string_view bytes) {
  // A null pointer would bind NULL instead of an empty blob.
  const char* data = bytes.empty() ? "" : bytes.data();
  sqlite3_bind_blob64(statement_.get(), index, data, bytes.size(), SQLITE_STATIC);
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) {
    Reset();
    return false;
  }
  const absl::Status status = database_->ErrorStatus(result);
  Reset();
  return status;
}

absl::Status SqliteStatement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string SqliteStatement::Blob(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? ""
                         : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

void SqliteDatabase::Close::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path));
  sqlite3* connection = nullptr;
  const int result = sqlite3_open_v2(
      path.c_str(), &connection,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  database->connection_.reset(connection);
  if (result != SQLITE_OK) return database->ErrorStatus(result);
  sqlite3_busy_timeout(connection, 5000);
  return database;
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(absl::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int result = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) return ErrorStatus(result);
  return SqliteStatement(this, statement);
}

absl::Status SqliteDatabase::Execute(absl::string_view sql) const {
  const int result =
      sqlite3_exec(connection_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? absl::OkStatus() : ErrorStatus(result);
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInt(absl::string_view sql) const {
  ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

absl::StatusOr<std::string> SqliteDatabase::QueryText(absl::string_view sql) const {
  ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Blob(0) : std::string();
}

bool SqliteDatabase::InTransaction() const {
  return sqlite3_get_autocommit(connection_.get()) == 0;
}

absl::Status SqliteDatabase::ErrorStatus(int result_code) const {
  const int system_error = connection_ ? sqlite3_system_errno(connection_.get()) : 0;
  const std::string problem =
      absl::StrCat(connection_ ? sqlite3_errmsg(connection_.get()) : sqlite3_errstr(result_code),
                   " (SQLite ", result_code, ")");
  switch (result_code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(
          "store ", path_, ": the disk is full; nothing was changed; free some space and retry"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return StoreDamaged(path_, problem);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat("store ", path_, ": ", problem));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(absl::StrCat("store ", path_, ": ", problem));
    case SQLITE_CANTOPEN:
      return ErrnoStatus(system_error == 0 ? EIO : system_error,
                         absl::StrCat("cannot open store ", path_));
    case SQLITE_IOERR:
      // SQLite itself names only ENOSPC "full"; a quota and a file size limit are the same to us.
      if (system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG) {
        return ErrnoStatus(system_error, absl::StrCat("store ", path_, ": nothing was changed"));
      }
      return absl::InternalError(
          absl::StrCat("store ", path_, ": ", problem, ", errno ", system_error));
    default:
      return absl::InternalError(absl::StrCat("store ", path_, ": ", problem));
  }
}

absl::Status StoreDamaged(absl::string_view path, absl::string_view problem) {
  return absl::DataLossError(absl::StrCat("store ", path, " is damaged: ", problem,
                                          "; keep a copy of it, with its -wal file, and restore ",
                                          "a backup, or recover what is left with: sqlite3 ", path,
                                          " .recover"));
}

}  // namespace oneai
