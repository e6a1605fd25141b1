// File: base/process/run_command.h
//
// Runs a program to its end and returns what it printed: for the commands of other systems.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace oneai {

struct CommandOptions {
  std::vector<std::string> argv;           // no shell
  std::map<std::string, std::string> env;  // the whole environment
  absl::Duration timeout = absl::Seconds(30);
  int64_t output_bytes_max = int64_t{16} << 20;
};

struct CommandResult {
  int exit_code = 0;
  int signal = 0;  // 0: ended by exit_code
  std::string standard_output;
  std::string standard_error;
};

// Waits for the program and all who hold its output. NotFound: no such program. DeadlineExceeded:
// its process group was killed. ResourceExhausted: it printed more than output_bytes_max and was
// killed. An exit code other than 0 is no error here. Blocks; thread-safe.
absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options);

}  // namespace oneai
