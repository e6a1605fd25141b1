// File: compute_fabric/simulator/replay_report.h
//
// What a replay showed, as tables and as JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute_fabric/simulator/replay_engine.h"
#include "compute_fabric/simulator/replay_figures.h"

namespace oneai::fabric {

struct QueueFigures {
  QueueingFigures queueing;
  FairnessFigures fairness;  // T_isolated: IsolatedByShare
  double device_hours = 0;   // held
  int64_t num_evictions = 0;
};

struct ReplayReport {
  std::string policy;
  QueueingFigures queueing;  // of the jobs that completed
  FairnessFigures fairness;
  std::map<std::string, QueueFigures> queues;
  std::map<std::string, double> utilisation;  // by kind of device
  int64_t num_jobs = 0;
  int64_t num_never_completed = 0;
  int64_t num_stopped_at_limit = 0;
  int64_t num_evictions = 0;
  int64_t num_resizes = 0;
  double lost_share = 0;  // of the device-time held, for work that was done again
  int64_t num_passes = 0;
  double pass_us_mean = 0;
  double pass_ms_max = 0;
};

ReplayReport MakeReplayReport(std::string policy, const ReplayCluster& cluster,
                              const std::vector<ReplayJob>& jobs, const ReplayResult& result);

// One comparison of all, then one table a policy by queue.
std::string ReplayTables(const std::vector<ReplayReport>& reports);
std::string ReplayJson(const std::vector<ReplayReport>& reports);

}  // namespace oneai::fabric
