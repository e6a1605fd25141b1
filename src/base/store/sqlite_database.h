// File: base/store/sqlite_database.h
//
// SQLite connections and prepared statements with RAII, and SQLite's result codes as statuses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace oneai {

// One prepared statement. Thread-compatible; the database must outlive it. Parameters count from 1,
// columns from 0.
class SqliteStatement {
 public:
  SqliteStatement& BindInt(int index, int64_t value);
  SqliteStatement& BindBlob(int index, absl::string_view bytes);  // `bytes` must live until Reset
  // True: a row is there to read. False: done. After an error or the end the statement is reset.
  absl::StatusOr<bool> Step();
  // Runs to the end and drops any rows.
  absl::Status Run();
  void Reset();
  int64_t Int(int column) const;
  std::string Blob(int column) const;

 private:
  friend class SqliteDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  SqliteStatement(const class SqliteDatabase* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}

  const SqliteDatabase* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// One connection. Thread-compatible.
class SqliteDatabase {
 public:
  // Opens the existing or new file `path`.
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);

  absl::StatusOr<SqliteStatement> Prepare(absl::string_view sql) const;
  absl::Status Execute(absl::string_view sql) const;
  // The first column of the first row.
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql) const;
  absl::StatusOr<std::string> QueryText(absl::string_view sql) const;
  bool InTransaction() const;

  // ResourceExhausted: the disk (or a limit on the file) is full. DataLoss: the file is damaged.
  // Unavailable: locked by another process. PermissionDenied. Internal: an I/O error; what was
  // being written is in doubt.
  absl::Status ErrorStatus(int result_code) const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::unique_ptr<sqlite3, Close> connection_;
};

// DataLoss for the store file `path`, with what can be done.
absl::Status StoreDamaged(absl::string_view path, absl::string_view problem);

}  // namespace oneai
