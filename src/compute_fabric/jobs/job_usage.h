// File: compute_fabric/jobs/job_usage.h
//
// What tasks have used, as part of the job's own record: written by the change that ends a task, so
// that it is counted once, whatever is repeated or restarted.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

// Price of an hour of one core ("cpu"), one GiB ("memory"), one device (its kind). Absent: free.
using PricePerHour = std::map<std::string, double>;

// The usage of one task from its start to `end` (its own end when it has ended), split at midnight
// UTC. Empty for a task that never started. cpu in core-seconds, memory in GiB-seconds, devices in
// device-seconds (a half device for two seconds is one).
std::vector<v1::JobUsage> UsageOf(const v1::JobSpec& spec, const v1::Task& task, absl::Time end,
                                  const PricePerHour& prices);

// Adds to `after.usage` what the tasks used that held resources in `before` and do no longer. Equal
// records add nothing.
void AccountEndedTasks(const v1::Job& before, v1::Job& after, absl::Time now,
                       const PricePerHour& prices);

// Adds one record to a list, summed with the one of its day and resource.
void AddUsage(google::protobuf::RepeatedPtrField<v1::JobUsage>& list, const v1::JobUsage& usage);

}  // namespace oneai::fabric
