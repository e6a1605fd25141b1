// File: compute_fabric/shim/task_files.h
//
// The task folder as a contract between the node agent, which writes what to run, and the shim,
// which writes what happened. Each record has this one encoder and decoder (JSON, written
// atomically); a record from disk is untrusted.
//
//   launch.json   agent  what to run, before anything starts
//   warning       agent  number of the signal to send to the task, once; it goes on running
//   started       agent  durable marker: this attempt may have been started; it never starts again
//   shim.lock     shim   held as long as the shim lives; whoever holds it decides what exit.json
//   says shim.json     shim   pid, start time and process group, for signals after a restart of the
//   agent output.log    shim   stdout and stderr, bounded exit.json     shim   how it ended;
//   nothing changes afterwards
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace oneai::fabric {

inline constexpr char kLaunchFile[] = "launch.json";
inline constexpr char kStartedFile[] = "started";
inline constexpr char kShimLockFile[] = "shim.lock";
inline constexpr char kShimFile[] = "shim.json";
inline constexpr char kOutputFile[] = "output.log";
inline constexpr char kMetricsFile[] = "metrics.jsonl";
inline constexpr char kReadyFile[] = "ready";
inline constexpr char kExitFile[] = "exit.json";
inline constexpr char kWarningFile[] = "warning";

struct LaunchSpec {
  std::vector<std::string> argv;           // argv[0]: a path, or a name looked up in env's PATH
  std::map<std::string, std::string> env;  // the whole environment
  std::string working_dir;                 // empty: the task folder
  int64_t grace_ms = 10'000;               // between SIGTERM and SIGKILL
  std::string lease_file;                  // touched by the agent while it lives; empty: no fence
  int64_t fence_ms = 30'000;               // lease untouched for so long: the task is stopped
  int64_t output_bytes_max = int64_t{256} << 20;
  int64_t open_files_max = 65'536;
  int64_t memory_bytes_max = 0;      // only for the words of an out-of-memory message
  std::vector<std::string> cgroups;  // folders to join; removed when the task has ended
  int64_t processes_max = 0;         // only for the words of a message, as memory_bytes_max
  int64_t disk_bytes_max = 0;        // of the task folder; 0: none
  // The command that closes a sandbox around the program given behind it (node/sandbox.h); empty:
  // none.
  std::vector<std::string> sandbox;
  std::string seccomp = "off";  // SeccompModeName
  // Variables that the task takes from the shim's own environment: what another launcher (Slurm)
  // has set there.
  std::vector<std::string> inherited_env;
};

struct ShimRecord {
  pid_t pid = 0;  // of the shim, which is also its session
  uint64_t start_time =
      0;  // /proc/<pid>/stat field 22: tells this process from a later one of the same pid
  pid_t group = 0;  // the task's process group
  int64_t started_unix_ms = 0;
};

struct ExitRecord {
  int exit_code = 0;
  int signal = 0;       // 0: ended by exit_code
  std::string message;  // why, where the status alone does not tell
  int64_t started_unix_ms = 0;
  int64_t ended_unix_ms = 0;
  int64_t output_bytes_dropped = 0;
};

// Write atomically and durably; launch.json with mode 0600, since an environment may hold secrets.
absl::Status WriteLaunchSpec(const std::filesystem::path& task_dir, const LaunchSpec& spec);
absl::Status WriteShimRecord(const std::filesystem::path& task_dir, const ShimRecord& record);
absl::Status WriteExitRecord(const std::filesystem::path& task_dir, const ExitRecord& record);

// The signal of the warning; written once, durably. A number that is no signal is refused.
absl::Status WriteWarning(const std::filesystem::path& task_dir, int signal_number);

// NotFound: no such file. DataLoss: not what the writer above wrote.
absl::StatusOr<int> ReadWarning(const std::filesystem::path& task_dir);
absl::StatusOr<LaunchSpec> ReadLaunchSpec(const std::filesystem::path& task_dir);
absl::StatusOr<ShimRecord> ReadShimRecord(const std::filesystem::path& task_dir);
absl::StatusOr<ExitRecord> ReadExitRecord(const std::filesystem::path& task_dir);

// Takes shim.lock without waiting and returns its descriptor; closing it (or dying) gives it back.
// FailedPrecondition: somebody holds it, so a shim lives.
absl::StatusOr<int> LockTask(const std::filesystem::path& task_dir);

}  // namespace oneai::fabric
