#include "compute_fabric/controller/task_assignment.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_spec.h"

namespace oneai::fabric {
namespace {

// Where a task stands among the tasks of its gang.
struct GangPosition {
  int local_rank = 0;
  int local_world_size = 0;
  int node_rank = 0;
};

GangPosition PositionOf(const v1::Job& job, const v1::Task& task) {
  GangPosition position;
  std::map<std::string, int> node_ranks;  // nodes in the order of their lowest rank
  for (const v1::Task& other : job.tasks()) {
    node_ranks.try_emplace(other.node(), static_cast<int>(node_ranks.size()));
    if (other.node() != task.node()) continue;
    ++position.local_world_size;
    if (other.rank() < task.rank()) ++position.local_rank;
  }
  position.node_rank = node_ranks.at(task.node());
  return position;
}

void SetGangEnvironment(const v1::Job& job, const v1::Task& task,
                        google::protobuf::Map<std::string, std::string>& env) {
  const GangPosition position = PositionOf(job, task);
  env["RANK"] = absl::StrCat(task.rank());
  env["WORLD_SIZE"] = absl::StrCat(NumTasks(job));
  env["LOCAL_RANK"] = absl::StrCat(position.local_rank);
  env["LOCAL_WORLD_SIZE"] = absl::StrCat(position.local_world_size);
  env["NODE_RANK"] = absl::StrCat(position.node_rank);
  const v1::Task& first = job.tasks(0);
  env["MASTER_ADDR"] = first.address();
  if (first.ports_size() > 0) env["MASTER_PORT"] = absl::StrCat(first.ports(0));
}

}  // namespace

v1::TaskAssignment MakeAssignment(const v1::Job& job, const v1::Task& task,
                                  const std::string& registry_dir) {
  v1::TaskAssignment assignment;
  assignment.set_job_id(job.id());
  assignment.set_rank(task.rank());
  assignment.set_attempt(task.attempt());
  *assignment.mutable_command() = job.spec().command();
  *assignment.mutable_resources() = job.spec().resources();
  *assignment.mutable_device_ids() = task.device_ids();
  *assignment.mutable_ports() = task.ports();
  assignment.set_grace_ms(absl::ToInt64Milliseconds(GraceOf(job.spec())));
  assignment.set_config_json(job.spec().config_json());
  *assignment.mutable_grants() = task.grants();
  assignment.set_warning_signal(job.spec().preemption().warning_signal());
  assignment.set_warned(job.warned_unix_ms() > 0);
  assignment.set_disk_bytes(job.spec().disk_bytes());
  assignment.set_processes_max(job.spec().processes_max());

  auto& env = *assignment.mutable_env();
  env = job.spec().env();
  if (job.spec().gang()) {
    SetGangEnvironment(job, task, env);
  } else {
    // Each task is a world of its own; its index tells an array job's tasks apart.
    env["RANK"] = absl::StrCat(task.rank());
    env["WORLD_SIZE"] = absl::StrCat(job.spec().num_tasks());
    env["LOCAL_RANK"] = "0";
    env["LOCAL_WORLD_SIZE"] = "1";
    env["NODE_RANK"] = absl::StrCat(task.rank());
  }
  if (job.spec().num_tasks_min() > 0)
    env["ONEAI_NUM_TASKS_MAX"] = absl::StrCat(job.spec().num_tasks());
  if (!job.array_id().empty()) {
    env["ONEAI_ARRAY_ID"] = job.array_id();
    env["ONEAI_ARRAY_INDEX"] = absl::StrCat(job.array_index());
  }
  for (const auto& [name, value] : job.sweep_values())
    env[absl::StrCat("ONEAI_SWEEP_", absl::AsciiStrToUpper(name))] = value;
  env["ONEAI_JOB_ID"] = job.id();
  env["ONEAI_JOB_NAME"] = job.spec().name();
  env["ONEAI_PROJECT"] = job.spec().project();
  env["ONEAI_ATTEMPT"] = absl::StrCat(task.attempt());
  env["ONEAI_ARTIFACT_DIR"] = job.artifact_dir();
  env["ONEAI_REGISTRY_DIR"] = registry_dir;
  env["ONEAI_ADDRESS"] = task.address();
  for (int i = 0; i < task.ports_size(); ++i)
    env[absl::StrCat("ONEAI_PORT_", i)] = absl::StrCat(task.ports(i));
  env["ONEAI_DEVICE_KIND"] = task.device().kind();
  env["ONEAI_DEVICE_IDS"] = absl::StrJoin(task.device_ids(), ",");
  return assignment;
}

}  // namespace oneai::fabric
