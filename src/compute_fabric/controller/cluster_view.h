// File: compute_fabric/controller/cluster_view.h
//
// The records as the scheduler sees them, and what is in use where: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/controller/versioned_table.h"
#include "compute_fabric/scheduler/calendar/reservation.h"
#include "compute_fabric/scheduler/job.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::fabric {

// What the job asks for now and what its active tasks hold. A gang gets at least one port a task,
// for its rendezvous.
JobView MakeJobView(const v1::Job& job, std::vector<std::string> gates, const Policy& policy,
                    absl::Time now);

// An administrator's labels win over the agent's.
NodeSpec MakeNodeSpec(const v1::Node& node, const std::vector<ReservationSpec>& reservations,
                      absl::Time now);
// Why the node takes no new tasks, in words; empty: it does.
std::string UnschedulableReason(const v1::Node& node);
ReservationSpec MakeReservationSpec(const v1::Reservation& reservation);

// The limits from before the tree (cpu_milli_limit, memory_bytes_limit, device_limit) count as
// `limit` of the same resource where that is absent.
QueueSpec MakeQueueSpec(const v1::Queue& queue);

// `node` with its *_used fields, grants and task names filled in from the jobs.
v1::Node WithUse(const v1::Node& node, const std::vector<Record<v1::Job>>& jobs);

// All queues (also those that nobody set up but that have unfinished jobs) with what they and
// those below them use, and their own job counts.
std::vector<v1::Queue> QueuesWithUse(const std::vector<Record<v1::Queue>>& queues,
                                     const std::vector<Record<v1::Job>>& unfinished_jobs);

}  // namespace oneai::fabric
