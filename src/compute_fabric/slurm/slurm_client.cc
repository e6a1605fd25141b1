#include "compute_fabric/slurm/slurm_client.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/process/run_command.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

// What sbatch says when waiting would not help.
bool IsRefusal(absl::string_view message) {
  static constexpr absl::string_view kRefusals[] = {"Requested node configuration is not available",
                                                    "Invalid generic resource",
                                                    "Invalid partition",
                                                    "Invalid account",
                                                    "Invalid node name",
                                                    "Memory specification can not be satisfied",
                                                    "More processors requested than permitted",
                                                    "time limit is invalid"};
  return std::any_of(std::begin(kRefusals), std::end(kRefusals), [&](absl::string_view refusal) {
    return absl::StrContains(absl::AsciiStrToLower(message), absl::AsciiStrToLower(refusal));
  });
}

std::string GresArgument(const std::vector<SlurmGres>& gres) {
  return absl::StrJoin(gres, ",", [](std::string* out, const SlurmGres& one) {
    absl::StrAppend(out, one.name, one.type.empty() ? "" : ":", one.type, ":", one.count);
  });
}

}  // namespace

absl::StatusOr<std::string> SlurmClient::Run(std::vector<std::string> argv) const {
  CommandOptions command{.argv = std::move(argv), .env = options_.env, .timeout = options_.timeout};
  if (!options_.config_file.empty()) command.env["SLURM_CONF"] = options_.config_file;
  const absl::StatusOr<CommandResult> result = RunCommand(command);
  if (absl::IsNotFound(result.status())) {
    return absl::NotFoundError(absl::StrCat(result.status().message(),
                                            "; install Slurm's commands (Debian: slurm-client)"));
  }
  if (!result.ok()) return absl::UnavailableError(result.status().message());
  if (result->exit_code == 0 && result->signal == 0) return result->standard_output;
  const std::string said = absl::CHexEscape(
      absl::StripAsciiWhitespace(absl::string_view(result->standard_error).substr(0, 512)));
  const std::string message = absl::StrCat(command.argv[0], " failed: ", said);
  return IsRefusal(said) ? absl::Status(absl::InvalidArgumentError(message))
                         : absl::Status(absl::UnavailableError(message));
}

absl::StatusOr<std::vector<SlurmNode>> SlurmClient::ListNodes() const {
  std::vector<std::string> argv = {"sinfo", "--noheader", "--Node",
                                   absl::StrCat("--format=", kSinfoFormat)};
  if (!options_.partition.empty()) argv.push_back(absl::StrCat("--partition=", options_.partition));
  ASSIGN_OR_RETURN(const std::string text, Run(std::move(argv)));
  return ParseSinfo(text);
}

absl::StatusOr<std::vector<SlurmJob>> SlurmClient::ListJobs() const {
  ASSIGN_OR_RETURN(const std::string text, Run({"squeue", "--noheader", "--me", "--states=all",
                                                absl::StrCat("--format=", kSqueueFormat)}));
  return ParseSqueue(text);
}

absl::StatusOr<int64_t> SlurmClient::SubmitHeld(const SlurmSubmission& submission) const {
  std::vector<std::string> argv = {
      "sbatch", "--hold", "--parsable", "--nodes=1", "--ntasks=1",
      // A lost node makes the fabric place the task again, with a new attempt; Slurm must not.
      "--no-requeue", "--export=NONE", "--open-mode=append",
      absl::StrCat("--job-name=", submission.name),
      absl::StrCat("--cpus-per-task=", submission.cpus),
      absl::StrCat("--output=", submission.output_file),
      absl::StrCat("--chdir=", submission.working_dir)};
  if (submission.memory_bytes > 0) {
    argv.push_back(absl::StrCat(
        "--mem=", std::max<int64_t>(1, (submission.memory_bytes + (1 << 20) - 1) >> 20), "M"));
  }
  if (!submission.gres.empty())
    argv.push_back(absl::StrCat("--gres=", GresArgument(submission.gres)));
  if (!options_.partition.empty()) argv.push_back(absl::StrCat("--partition=", options_.partition));
  if (!options_.account.empty()) argv.push_back(absl::StrCat("--account=", options_.account));
  argv.push_back(submission.script_file);
  ASSIGN_OR_RETURN(const std::string text, Run(std::move(argv)));
  return ParseSubmitted(text);
}

absl::Status SlurmClient::PinAndRelease(int64_t job_id, const std::string& node) const {
  RETURN_IF_ERROR(Run({"scontrol", "update", absl::StrCat("JobId=", job_id),
                       absl::StrCat("ReqNodeList=", node)})
                      .status());
  return Run({"scontrol", "release", absl::StrCat(job_id)}).status();
}

absl::Status SlurmClient::Signal(int64_t job_id, int signal_number) const {
  return Run({"scancel", "--quiet", "--batch", "--state=RUNNING",
              absl::StrCat("--signal=", signal_number), absl::StrCat(job_id)})
      .status();
}

absl::Status SlurmClient::Cancel(int64_t job_id) const {
  return Run({"scancel", "--quiet", absl::StrCat(job_id)}).status();
}

}  // namespace oneai::fabric
