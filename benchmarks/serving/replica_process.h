// A replica for a benchmark: oneai-serve in a task folder of its own, with certificates of a fabric
// of its own, on loopback.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/auth/pki.h"

namespace oneai::serving {

struct ReplicaProcessOptions {
  std::filesystem::path program;     // oneai-serve
  std::filesystem::path model;       // a folder
  std::string settings_json = "{}";  // members added to its config.json
};

// Ends the process and removes the folder with itself.
class ReplicaProcess {
 public:
  // Returns once it is ready. Errors: its own, the end of its output.
  static absl::StatusOr<std::unique_ptr<ReplicaProcess>> Start(
      const ReplicaProcessOptions& options);
  ~ReplicaProcess();

  const std::string& address() const { return address_; }
  // Of a caller that it answers.
  const TlsCredentials& caller() const { return caller_; }
  double ready_s() const { return ready_s_; }  // from exec to the ready file

 private:
  ReplicaProcess() = default;
  absl::Status Prepare(const ReplicaProcessOptions& options);
  absl::Status AwaitReady();

  std::filesystem::path folder_;
  std::string address_;
  TlsCredentials caller_;
  pid_t pid_ = 0;
  double ready_s_ = 0;
};

}  // namespace oneai::serving
