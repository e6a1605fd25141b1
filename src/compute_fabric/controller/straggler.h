// File: compute_fabric/controller/straggler.h
//
// Which rank of a gang is slow: in a synchronous step everybody waits for the slowest, so that one
// bad machine costs as much as all of them. Pure.
//
// What tells is the time that a rank computes by itself before it meets the others; the whole
// step's time is the same for all. Ranks report it as metric "compute_seconds" (or, where ranks do
// not wait for each other, "step_seconds").
#pragma once

#include <map>
#include <vector>

#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

struct StragglerPolicy {
  double factor = 1.5;    // times the gang's median
  int num_steps = 20;     // that many steps in a row, so that a hiccup is none
  int num_ranks_min = 3;  // a median of two says nothing
};

struct Straggler {
  int rank = 0;
  double factor = 0;  // median over the steps of (its time / the gang's median)
};

// By rank, by step.
using StepTimes = std::map<int, std::map<int64_t, double>>;

// The ranks that were slower than `factor` times the median of all ranks in each of the last
// num_steps steps that every rank has reported. Slowest first.
std::vector<Straggler> FindStragglers(const StepTimes& times, const StragglerPolicy& policy);

// The steps' times out of a job's metrics, of attempt `attempt` only.
StepTimes StepTimesOf(const v1::MetricSeriesList& metrics, int attempt);

}  // namespace oneai::fabric
