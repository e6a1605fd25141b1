// File: compute_fabric/scheduler/smallest_change.h
//
// What a user could ask for instead, to start now.
#pragma once

#include <string>

#include "compute_fabric/scheduler/wait_scene.h"

namespace oneai::fabric {

// The least change of the request with which the job would start now, each tried by placing:
//
//   a shorter time limit · topology or spread preferred instead of required · fewer CPUs · less
//   memory · fewer tasks · fewer devices, or a smaller share · another kind of device
//
// in words ("would start now with 2 tasks instead of 4"). Least: by what share of the request is
// given up, weighted by how much that hurts. Empty: none of these is enough. Precondition: it does
// not fit now.
std::string FindSmallestChange(WaitScene& scene, const JobView& job);

}  // namespace oneai::fabric
