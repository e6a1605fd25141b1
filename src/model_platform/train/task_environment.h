// File: model_platform/train/task_environment.h
//
// What the node agent tells a task through its environment (docs/architecture.md, "A task's
// environment"), read once by main.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace oneai::platform {

struct TaskEnvironment {
  int rank = 0;
  int world_size = 1;
  // Elastic gang: the most ranks it may have, which the settings' batch is meant for; else the
  // present ones.
  int num_tasks_max = 1;
  std::string master_addr = "127.0.0.1";
  int master_port = 0;
  std::string address = "127.0.0.1";  // this rank's own

  std::string job_id;
  std::string job_name;
  int64_t attempt = 1;
  std::filesystem::path task_dir;
  std::filesystem::path artifact_dir;  // shared by all ranks and attempts
  std::filesystem::path registry_dir;
  std::string controller;  // host:port
  std::filesystem::path metrics_file;
  int num_threads = 1;  // cores granted to this rank
};

using GetEnv = std::function<std::optional<std::string>(const char* name)>;

// FailedPrecondition names a variable that is absent; InvalidArgument one that does not fit (a rank
// outside of the world, a port out of range, not a number).
absl::StatusOr<TaskEnvironment> ReadTaskEnvironment(const GetEnv& get_env);

}  // namespace oneai::platform
