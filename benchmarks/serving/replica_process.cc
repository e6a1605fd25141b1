#include "benchmarks/serving/replica_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::serving {
namespace {

constexpr absl::Duration kStartTimeout = absl::Minutes(5);

}  // namespace

absl::StatusOr<std::unique_ptr<ReplicaProcess>> ReplicaProcess::Start(
    const ReplicaProcessOptions& options) {
  auto replica = std::unique_ptr<ReplicaProcess>(new ReplicaProcess());
  RETURN_IF_ERROR(replica->Prepare(options));
  ChildOptions child;
  child.argv = {options.program.string()};
  child.env = CurrentEnvironment();
  child.env["ONEAI_TASK_DIR"] = replica->folder_.string();
  child.env["ONEAI_READY_FILE"] = (replica->folder_ / "ready").string();
  child.env["ONEAI_ADDRESS"] = "127.0.0.1";
  child.env["ONEAI_PORT_0"] = "0";
  child.output_file = (replica->folder_ / "output.log").string();
  child.die_with_parent = true;
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(replica->pid_, SpawnChild(child));
  RETURN_IF_ERROR(replica->AwaitReady());
  replica->ready_s_ = absl::ToDoubleSeconds(absl::Now() - start);
  return replica;
}

absl::Status ReplicaProcess::Prepare(const ReplicaProcessOptions& options) {
  std::string pattern = (std::filesystem::temp_directory_path() / "oneai-replica-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr)
    return absl::InternalError(absl::StrCat("cannot make ", pattern));
  folder_ = pattern;
  std::filesystem::create_directory(folder_ / "tls");
  ASSIGN_OR_RETURN(const CertificateAuthority ca, CertificateAuthority::Create());
  ASSIGN_OR_RETURN(const KeyPair own, ca.Issue({"job", "bench", {"localhost", "127.0.0.1"}}));
  ASSIGN_OR_RETURN(const KeyPair caller, ca.Issue({"gateway", "bench", {"localhost"}}));
  caller_ = {ca.certificate_pem(), caller.certificate_pem, caller.private_key_pem};
  ASSIGN_OR_RETURN(models::Json config, models::ParseJson(options.settings_json, "--settings"));
  config["model_dir"] = options.model.string();
  config["model_name"] = "bench";
  RETURN_IF_ERROR(WriteFileAtomically((folder_ / "tls/ca.crt").string(), ca.certificate_pem()));
  RETURN_IF_ERROR(WriteFileAtomically((folder_ / "tls/task.crt").string(), own.certificate_pem));
  RETURN_IF_ERROR(WriteFileAtomically((folder_ / "tls/task.key").string(), own.private_key_pem));
  return WriteFileAtomically((folder_ / "config.json").string(), config.dump());
}

absl::Status ReplicaProcess::AwaitReady() {
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (absl::Now() < deadline) {
    const absl::StatusOr<std::string> ready = ReadFile((folder_ / "ready").string());
    int port = 0;
    if (ready.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*ready), &port)) {
      address_ = absl::StrCat("127.0.0.1:", port);
      return absl::OkStatus();
    }
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return absl::UnavailableError(absl::StrCat(
          "oneai-serve ended: ", ReadFile((folder_ / "output.log").string()).value_or("")));
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
  return absl::DeadlineExceededError("oneai-serve was not ready in five minutes");
}

ReplicaProcess::~ReplicaProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code error;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, error);
}

}  // namespace oneai::serving
