#include "compute_fabric/slurm/slurm_text.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

constexpr int64_t kLinesMax = 1'000'000;
constexpr int64_t kCountMax = int64_t{1} << 40;

absl::Status Malformed(absl::string_view command, absl::string_view line) {
  return absl::InvalidArgumentError(absl::StrCat("unexpected line from ", command, ": \"",
                                                 absl::CHexEscape(line.substr(0, 200)), "\""));
}

bool ParseCount(absl::string_view text, int64_t& count) {
  // sinfo marks a value with '+' when nodes of a line differ; one node a line cannot.
  return absl::SimpleAtoi(text, &count) && count >= 0 && count <= kCountMax;
}

absl::StatusOr<std::vector<absl::string_view>> Lines(absl::string_view command,
                                                     absl::string_view text) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  if (static_cast<int64_t>(lines.size()) > kLinesMax)
    return absl::InvalidArgumentError(absl::StrCat(command, " printed too many lines"));
  return lines;
}

std::optional<SlurmJobState> JobStateOf(absl::string_view name) {
  static constexpr std::array kWaiting = {"PENDING",     "REQUEUED",     "REQUEUE_HOLD",
                                          "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"};
  static constexpr std::array kActive = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
                                         "STOPPED", "SIGNALING",  "STAGE_OUT",   "RESIZING"};
  static constexpr std::array kEnded = {"COMPLETED", "FAILED",    "CANCELLED",    "TIMEOUT",
                                        "NODE_FAIL", "BOOT_FAIL", "DEADLINE",     "OUT_OF_MEMORY",
                                        "PREEMPTED", "REVOKED",   "LAUNCH_FAILED"};
  const auto is_in = [&](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_in(kWaiting)) return SlurmJobState::kPending;
  if (is_in(kActive)) return SlurmJobState::kRunning;
  if (is_in(kEnded)) return SlurmJobState::kFinished;
  return std::nullopt;
}

}  // namespace

bool SlurmNode::in_service() const {
  static constexpr std::array kUsable = {"idle", "mixed", "allocated", "completing", "planned"};
  return responding && std::find(kUsable.begin(), kUsable.end(), state) != kUsable.end();
}

bool SlurmJob::hopeless() const {
  static constexpr std::array kForEver = {"BadConstraints", "PartitionNodeLimit",
                                          "PartitionTimeLimit"};
  return state == SlurmJobState::kPending &&
         std::find(kForEver.begin(), kForEver.end(), reason) != kForEver.end();
}

absl::StatusOr<std::vector<SlurmGres>> ParseGres(absl::string_view text) {
  std::vector<SlurmGres> gres;
  if (text == "(null)" || text.empty()) return gres;
  // Commas also occur inside the parentheses: "gpu:h100:8(S:0,1)".
  int depth = 0;
  std::string flat;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (depth == 0 && c != ')') flat.push_back(c);
  }
  for (absl::string_view item : absl::StrSplit(flat, ',', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ':');
    SlurmGres one;
    one.name = std::string(parts[0]);
    one.count = 1;
    if (parts.size() == 2 && !ParseCount(parts[1], one.count)) one.type = std::string(parts[1]);
    if (parts.size() == 3) {
      one.type = std::string(parts[1]);
      if (!ParseCount(parts[2], one.count)) return Malformed("sinfo (GRES)", text);
    }
    if (parts.size() > 3 || one.name.empty()) return Malformed("sinfo (GRES)", text);
    gres.push_back(std::move(one));
  }
  return gres;
}

absl::StatusOr<std::vector<SlurmNode>> ParseSinfo(absl::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<absl::string_view> lines, Lines("sinfo", text));
  std::map<std::string, SlurmNode> nodes;
  for (absl::string_view line : lines) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits('|', 6));
    if (fields.size() != 7) return Malformed("sinfo", line);
    SlurmNode node;
    node.name = std::string(fields[0]);
    node.address = std::string(fields[1]);
    // Flags follow the state: '*' not responding, '$' in a maintenance reservation, and others.
    const absl::string_view state = fields[2];
    const size_t flags = state.find_first_of("*~#!%$@^-+");
    node.state = absl::AsciiStrToLower(state.substr(0, flags));
    node.responding = !absl::StrContains(state, '*');
    int64_t megabytes = 0;
    if (node.name.empty() || !ParseCount(fields[3], node.cpus) ||
        !ParseCount(fields[4], megabytes)) {
      return Malformed("sinfo", line);
    }
    // sinfo(1): megabytes are 2^20 bytes.
    node.memory_bytes = megabytes << 20;
    ASSIGN_OR_RETURN(node.gres, ParseGres(fields[5]));
    if (fields[6] != "none") node.reason = absl::CHexEscape(fields[6].substr(0, 512));
    nodes.emplace(node.name, std::move(node));
  }
  std::vector<SlurmNode> result;
  for (auto& [name, node] : nodes) result.push_back(std::move(node));
  return result;
}

std::vector<SlurmJob> ParseSqueue(absl::string_view text) {
  std::vector<SlurmJob> jobs;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits('|', 4));
    SlurmJob job;
    if (fields.size() != 5 || !ParseCount(fields[0], job.id)) continue;
    const std::optional<SlurmJobState> state = JobStateOf(fields[1]);
    if (!state.has_value()) continue;
    job.state = *state;
    job.state_name = std::string(fields[1]);
    job.node = std::string(fields[2]);
    job.reason = std::string(fields[3]);
    job.name = std::string(fields[4]);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

absl::StatusOr<int64_t> ParseSubmitted(absl::string_view text) {
  const absl::string_view line = absl::StripAsciiWhitespace(text);
  int64_t id = 0;
  if (!ParseCount(line.substr(0, line.find(';')), id) || id == 0) return Malformed("sbatch", line);
  return id;
}

}  // namespace oneai::fabric
