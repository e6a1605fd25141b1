// File: compute_fabric/slurm/slurm_text.h
//
// What Slurm's commands print, as values: pure parsers of the formats that slurm_client.cc asks for
// (sinfo(1), squeue(1); checked against 22.05). Fields that people can write come last in a line,
// so that nothing they contain can pass for another field.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::fabric {

struct SlurmGres {
  std::string name;  // "gpu"
  std::string type;  // "h100"; empty: untyped
  int64_t count = 0;
};

struct SlurmNode {
  std::string name;
  std::string address;
  std::string state;  // "idle", "mixed", "allocated", "down", "drained", ..., without flags
  bool responding = true;
  int64_t cpus = 0;
  int64_t memory_bytes = 0;
  std::vector<SlurmGres> gres;
  std::string reason;  // of a drain; empty: none

  // The node takes new jobs.
  bool in_service() const;
};

enum class SlurmJobState {
  kPending,   // also held, and requeued after its node was lost
  kRunning,   // also completing, suspended
  kFinished,  // completed, failed, cancelled, timed out, out of memory, node failed
};

struct SlurmJob {
  int64_t id = 0;
  SlurmJobState state = SlurmJobState::kPending;
  std::string state_name;  // "NODE_FAIL"
  std::string name;
  std::string node;    // empty before it runs
  std::string reason;  // "Resources", "JobHeldUser", ...

  // The user, or the fabric before it pinned the job, holds it back.
  bool held() const { return state == SlurmJobState::kPending && reason == "JobHeldUser"; }
  // It waits for what can never be, such as more devices than the node has.
  bool hopeless() const;
};

// Lines of `sinfo --noheader --Node --format=kSinfoFormat`. A node occurs once per partition.
// InvalidArgument: names the line.
inline constexpr char kSinfoFormat[] = "%N|%o|%T|%c|%m|%G|%E";
absl::StatusOr<std::vector<SlurmNode>> ParseSinfo(absl::string_view text);

// Lines of `squeue --noheader --states=all --format=kSqueueFormat`. Lines that are none are passed
// over: a name may contain anything, a line break too.
inline constexpr char kSqueueFormat[] = "%A|%T|%N|%r|%j";
std::vector<SlurmJob> ParseSqueue(absl::string_view text);

// "gpu:h100:8(S:0-1),gpu:a100:2" or "(null)".
absl::StatusOr<std::vector<SlurmGres>> ParseGres(absl::string_view text);

// "123" or "123;cluster" of `sbatch --parsable`.
absl::StatusOr<int64_t> ParseSubmitted(absl::string_view text);

}  // namespace oneai::fabric
