// File: compute_fabric/controller/node_drain.h
//
// How a node is emptied, as pure functions: what a draining node asks of one job, and which spare
// stands in for it.
//
//   gang                 preempted whole: warned where it asked for that, then stopped, then placed
//                        elsewhere; one that is not preemptible keeps its place until the deadline
//   replicas of an       one by one, each only when a replica more than asked for is ready, so that
//   endpoint             the endpoint never has fewer
//   other tasks          moved one by one, at once; not preemptible ones at the deadline
//   would end in time    left alone
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// The label of a job that has one replica more than its spec asked for while a node drains; its
// value is the node.
inline constexpr char kDrainSurgeLabel[] = "oneai-drain-surge";

// Changes `job`, which has tasks on the draining `node`; false when there is nothing to do now.
bool DrainJob(v1::Job& job, const v1::Node& node, absl::Time now, EventDrafts& events);

// Takes back the extra replica of a job whose `node` (null: gone) needs it no longer.
bool EndSurge(v1::Job& job, const v1::Node* node, EventDrafts& events);

// Which spare stands in for which node; `node` empty: it goes back to being held.
struct SpareChange {
  std::string spare;
  std::string node;
  bool operator==(const SpareChange&) const = default;
};
// A free spare in service stands in for each node that is lost, or drained or being drained, and
// whose kinds of devices it has all of; the first by name. It goes back when that node is in
// service again.
std::vector<SpareChange> PlanSpares(const std::vector<const v1::Node*>& nodes);

}  // namespace oneai::fabric
