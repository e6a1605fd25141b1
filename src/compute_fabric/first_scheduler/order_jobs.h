// File: compute_fabric/first_scheduler/order_jobs.h
//
// Phase 1: whom to serve first.
#pragma once

#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// The pending jobs by priority (higher first), then submit time, then id. Total, so that equal
// snapshots give equal plans. The pointers borrow from `jobs`.
std::vector<const PendingJob*> OrderJobs(const std::vector<PendingJob>& jobs);

}  // namespace oneai::fabric::inline first
