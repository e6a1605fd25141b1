// File: compute_fabric/scheduler/describe.h
//
// Requests and places in words. All reasons are made of these.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

std::string FormatCpuNumber(int64_t cpu_milli);   // "2", "0.5"
std::string FormatCpus(int64_t cpu_milli);        // "2 CPUs", "1 CPU", "0.5 CPU"
std::string FormatBytes(int64_t bytes);           // "512 MiB", "1.5 GiB"
std::string FormatLength(absl::Duration length);  // "2h30m", "45s"; whole seconds
std::string FormatNumber(int64_t number);         // "1,234"

// "8 nvidia-h100-80g", "0.3 of a nvidia-h100-80g".
std::string DescribeDevice(const DeviceAlternative& device);
// "2 CPUs, 1 GiB and 1 x86-amx or 1 nvidia-h100-80g".
std::string DescribeShape(const TaskShape& shape);
// "needs 2 tasks on different nodes with 2 CPUs, 1 GiB and 1 x86-amx each, within one rack": as
// many as have to start at once, and what it would like beyond.
std::string DescribeNeed(const JobView& job);

// "NVLink domain", "host", "rack", "zone".
absl::string_view LevelName(TopologyLevel level);

}  // namespace oneai::fabric
