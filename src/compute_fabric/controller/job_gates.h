// File: compute_fabric/controller/job_gates.h
//
// Why a job may not be placed yet, whatever is free: its array, the jobs it depends on. And when it
// never will be.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "compute_fabric/controller/fabric_state.h"

namespace oneai::fabric {

// What keeps the job back, in words; empty: nothing.
std::vector<std::string> GatesOf(const FabricState& state, const v1::Job& job);

// Why the job can never run: a job it depends on with AFTER_OK ended otherwise than SUCCEEDED, or
// is gone. Empty: it may yet.
std::string NeverRunsBecause(const FabricState& state, const v1::Job& job);

// What a new job may depend on: jobs and arrays of which `may_see` says so. InvalidArgument: there
// is none of that id, or AFTER_OK on one that has ended otherwise. A job can only name what was
// there before it, so that cycles cannot be.
absl::Status CheckDependencies(const FabricState& state, const v1::JobSpec& spec,
                               absl::FunctionRef<bool(const std::string& project)> may_see);

}  // namespace oneai::fabric
