#include "model_platform/train/task_environment.h"

#include "absl/strings/numbers.h"
#include "base/status.h"

namespace oneai::platform {
namespace {

absl::StatusOr<std::string> Required(const GetEnv& get_env, const char* name) {
  const std::optional<std::string> value = get_env(name);
  if (!value.has_value() || value->empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("environment variable ", name,
                     " is not set: oneai-train is started by a node agent; submit "
                     "a job with `oneai job submit`"));
  }
  return *value;
}

// `value` keeps its default when the variable is absent.
template <typename T>
absl::Status Number(const GetEnv& get_env, const char* name, int64_t min, int64_t max, T& value) {
  const std::optional<std::string> text = get_env(name);
  if (!text.has_value() || text->empty()) return absl::OkStatus();
  int64_t number = 0;
  if (!absl::SimpleAtoi(*text, &number) || number < min || number > max) {
    return absl::InvalidArgumentError(absl::StrCat("environment variable ", name, " is '", *text,
                                                   "', expected an integer from ", min, " to ",
                                                   max));
  }
  value = static_cast<T>(number);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TaskEnvironment> ReadTaskEnvironment(const GetEnv& get_env) {
  TaskEnvironment task;
  RETURN_IF_ERROR(Number(get_env, "WORLD_SIZE", 1, 1 << 20, task.world_size));
  RETURN_IF_ERROR(Number(get_env, "RANK", 0, task.world_size - 1, task.rank));
  task.num_tasks_max = task.world_size;
  RETURN_IF_ERROR(
      Number(get_env, "ONEAI_NUM_TASKS_MAX", task.world_size, 1 << 20, task.num_tasks_max));
  RETURN_IF_ERROR(Number(get_env, "MASTER_PORT", 1, 65535, task.master_port));
  RETURN_IF_ERROR(Number(get_env, "ONEAI_ATTEMPT", 0, INT64_MAX, task.attempt));
  RETURN_IF_ERROR(Number(get_env, "OMP_NUM_THREADS", 1, 4096, task.num_threads));
  if (task.world_size > 1 && task.master_port == 0) {
    return absl::FailedPreconditionError(
        "environment variable MASTER_PORT is not set, which a gang needs to meet");
  }
  task.master_addr = get_env("MASTER_ADDR").value_or(task.master_addr);
  task.address = get_env("ONEAI_ADDRESS").value_or(task.address);
  task.job_name = get_env("ONEAI_JOB_NAME").value_or("");
  ASSIGN_OR_RETURN(task.job_id, Required(get_env, "ONEAI_JOB_ID"));
  ASSIGN_OR_RETURN(task.task_dir, Required(get_env, "ONEAI_TASK_DIR"));
  ASSIGN_OR_RETURN(task.artifact_dir, Required(get_env, "ONEAI_ARTIFACT_DIR"));
  ASSIGN_OR_RETURN(task.registry_dir, Required(get_env, "ONEAI_REGISTRY_DIR"));
  ASSIGN_OR_RETURN(task.controller, Required(get_env, "ONEAI_CONTROLLER"));
  ASSIGN_OR_RETURN(task.metrics_file, Required(get_env, "ONEAI_METRICS_FILE"));
  return task;
}

}  // namespace oneai::platform
