// File: compute_fabric/controller/task_assignment.h
//
// What a node is told about one task: a pure function of the job's record. The environment is
// docs/architecture.md's; what only the node knows (ONEAI_TASK_DIR, ONEAI_METRICS_FILE,
// ONEAI_READY_FILE, ONEAI_CONTROLLER, ONEAI_NODE) is set there.
#pragma once

#include <string>

#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// torchrun's variables (https://pytorch.org/docs/stable/elastic/run.html#environment-variables) and
// the fabric's own. A gang's rendezvous is rank 0's address and first port; other jobs have no
// MASTER_ADDR. `task` is one of `job.tasks`. Without certificates.
v1::TaskAssignment MakeAssignment(const v1::Job& job, const v1::Task& task,
                                  const std::string& registry_dir);

}  // namespace oneai::fabric
