// File: cli/output.h
//
// What commands print: data to stdout, messages to stderr; tables for people, JSON for programs;
// colour and motion only on a terminal.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai::cli {

// Exit statuses, stable for scripts (docs/cli.md).
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitForbidden = 4,
  kExitConflict = 5,
  kExitUnschedulable = 6,
  kExitUnavailable = 7,
  kExitJobFailed = 100,
  kExitJobUnfinished = 101,
  kExitJobNotFound = 102,
  kExitJobCancelled = 103,
};

ExitCode ExitCodeOf(const absl::Status& status);

// Columns are as wide as their widest cell; control characters in cells are shown as '?', so that a
// name cannot drive the terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row);
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Text with control characters (but \n and \t), bidirectional controls and bytes that are no UTF-8
// shown as '?': what a job or a model wrote may hold escape sequences.
std::string Printable(absl::string_view text);

// How much of `text` is there without a UTF-8 sequence that is cut off at its end.
size_t NumWholeCharacterBytes(absl::string_view text);

// The message as JSON on one line per nesting, with the proto's field names.
std::string ToJson(const google::protobuf::Message& message);

// "3s", "12m", "4h", "9d".
std::string Age(const google::protobuf::Timestamp& since, absl::Time now);

// "1.5 GiB".
std::string HumanBytes(int64_t bytes);

bool StdoutIsTerminal();

// Prints "error: ..." to stderr and returns the exit status for it.
int Fail(const absl::Status& status);

}  // namespace oneai::cli
