// File: compute_fabric/simulation/held_amounts.h
//
// What a record says that its tasks hold.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric::simulation {

inline constexpr int kWholeDevice = 1000;

// Milli-devices by id.
std::map<std::string, int> DevicesOf(const v1::Task& task);

// Milli-cores and milli-devices of the job's active tasks, by resource.
std::map<std::string, int64_t> UseOf(const v1::Job& job);

// The job with its tasks and reasons, in one line.
std::string Describe(const v1::Job& job);

}  // namespace oneai::fabric::simulation
