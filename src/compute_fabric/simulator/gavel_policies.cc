#include "compute_fabric/simulator/gavel_policies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/score/linear_program.h"
#include "compute_fabric/scheduler/throughput.h"

namespace oneai::fabric {
namespace {

constexpr std::array<std::pair<GavelPolicy, absl::string_view>, 6> kNames = {
    {{GavelPolicy::kFifo, "fifo"},
     {GavelPolicy::kFifoAware, "fifo_aware"},
     {GavelPolicy::kLas, "las"},
     {GavelPolicy::kMaxMin, "max_min"},
     {GavelPolicy::kOneai, "oneai"},
     {GavelPolicy::kOneaiShort, "oneai_short"}}};

double FastestRate(const GavelJob& job) {
  return *std::max_element(job.throughput.begin(), job.throughput.end());
}

// Jobs keep their GPUs to the end; those that wait go in order of arrival, and one that does not
// fit is passed over.
class FifoScheduler : public GavelScheduler {
 public:
  FifoScheduler(std::vector<double> workers, bool aware)
      : workers_(std::move(workers)), aware_(aware) {}

  std::vector<int> Assign(const std::vector<ActiveJob>& jobs, bool) override {
    std::vector<double> idle = workers_;
    std::vector<int> kinds(jobs.size(), kNotRunning);
    for (size_t m = 0; m < jobs.size(); ++m) {
      kinds[m] = jobs[m].kind;
      if (kinds[m] != kNotRunning) idle[kinds[m]] -= static_cast<double>(jobs[m].job->num_gpus);
    }
    for (size_t m = 0; m < jobs.size(); ++m) {
      const auto gpus = static_cast<double>(jobs[m].job->num_gpus);
      if (kinds[m] != kNotRunning) continue;
      for (size_t j = 0; j < idle.size(); ++j) {
        if (idle[j] < gpus || jobs[m].job->throughput[j] <= 0) continue;
        if (kinds[m] == kNotRunning || Value(jobs[m], j, idle) > Value(jobs[m], kinds[m], idle)) {
          kinds[m] = static_cast<int>(j);
        }
      }
      if (kinds[m] != kNotRunning) idle[kinds[m]] -= gpus;
    }
    return kinds;
  }

 private:
  double Value(const ActiveJob& job, size_t kind, const std::vector<double>& idle) const {
    return aware_ ? job.job->throughput[kind] : idle[kind];
  }

  std::vector<double> workers_;
  bool aware_;
};

// Gavel's rounds: each job is due on each kind a share of the time, and the pairs that have got
// least of their share go first.
class MaxMinScheduler : public GavelScheduler {
 public:
  MaxMinScheduler(std::vector<double> workers, bool aware)
      : workers_(std::move(workers)), aware_(aware) {}

  std::vector<int> Assign(const std::vector<ActiveJob>& jobs, bool changed) override {
    if (changed) {
      shares_ = aware_ ? AllocateMaxMin(Describe(jobs), workers_) : BlindShares(jobs);
      num_rounds_ = 0;
    }
    struct Due {
      double priority;
      double share;
      size_t job;
      size_t kind;
    };
    std::vector<Due> dues;
    for (size_t m = 0; m < jobs.size(); ++m) {
      for (size_t j = 0; j < workers_.size(); ++j) {
        const double share = shares_[m][j];
        if (share < 1e-6) continue;
        const double got = num_rounds_ > 0 ? jobs[m].rounds_on[j] / num_rounds_ : 0;
        dues.push_back(
            {got > 0 ? share / got : std::numeric_limits<double>::infinity(), share, m, j});
      }
    }
    std::sort(dues.begin(), dues.end(), [](const Due& a, const Due& b) {
      if (a.priority != b.priority) return a.priority > b.priority;
      if (a.share != b.share) return a.share > b.share;
      return std::pair(a.job, a.kind) < std::pair(b.job, b.kind);
    });
    std::vector<double> idle = workers_;
    std::vector<int> kinds(jobs.size(), kNotRunning);
    for (const Due& due : dues) {
      const auto gpus = static_cast<double>(jobs[due.job].job->num_gpus);
      if (kinds[due.job] != kNotRunning || idle[due.kind] < gpus) continue;
      kinds[due.job] = static_cast<int>(due.kind);
      idle[due.kind] -= gpus;
    }
    ++num_rounds_;
    return kinds;
  }

 private:
  static std::vector<ThroughputJob> Describe(const std::vector<ActiveJob>& jobs) {
    std::vector<ThroughputJob> described;
    for (const ActiveJob& active : jobs) {
      described.push_back({1, static_cast<double>(active.job->num_gpus), active.job->throughput});
    }
    return described;
  }

  // As if all GPUs were alike: one pool, and each job's time in it spread over the kinds on which
  // it runs, by their numbers.
  std::vector<std::vector<double>> BlindShares(const std::vector<ActiveJob>& jobs) const {
    double num_gpus = 0;
    for (double w : workers_) num_gpus += w;
    std::vector<ThroughputJob> alike = Describe(jobs);
    for (ThroughputJob& job : alike) job.throughput = {1};
    const std::vector<std::vector<double>> times = AllocateMaxMin(alike, {num_gpus});
    std::vector<std::vector<double>> shares;
    for (size_t m = 0; m < jobs.size(); ++m) {
      double usable = 0;
      for (size_t j = 0; j < workers_.size(); ++j) {
        usable += jobs[m].job->throughput[j] > 0 ? workers_[j] : 0;
      }
      shares.emplace_back();
      for (size_t j = 0; j < workers_.size(); ++j) {
        const bool runs = jobs[m].job->throughput[j] > 0;
        shares.back().push_back(runs ? times[m][0] * workers_[j] / usable : 0);
      }
    }
    return shares;
  }

  std::vector<double> workers_;
  bool aware_;
  std::vector<std::vector<double>> shares_;
  double num_rounds_ = 0;  // since the shares were computed
};

// Ours: an order of jobs, and the kind that suits each best at the prices that all of them make.
class PricedScheduler : public GavelScheduler {
 public:
  PricedScheduler(std::vector<double> workers, bool knows_steps)
      : workers_(std::move(workers)), knows_steps_(knows_steps) {}

  std::vector<int> Assign(const std::vector<ActiveJob>& jobs, bool changed) override {
    std::vector<std::pair<double, size_t>> order;  // equal: by arrival
    for (size_t m = 0; m < jobs.size(); ++m) order.emplace_back(Urgency(jobs[m]), m);
    std::sort(order.begin(), order.end());
    if (changed || !knows_steps_) prices_ = Prices(jobs, order);
    std::vector<double> idle = workers_;
    std::vector<int> kinds(jobs.size(), kNotRunning);
    for (const auto& [urgency, m] : order) {
      const auto gpus = static_cast<double>(jobs[m].job->num_gpus);
      double best = 0;
      for (size_t j = 0; j < idle.size(); ++j) {
        if (idle[j] < gpus || jobs[m].job->throughput[j] <= 0) continue;
        const double gain = jobs[m].job->throughput[j] / FastestRate(*jobs[m].job) - prices_[j] +
                            (jobs[m].kind == static_cast<int>(j) ? kStay : 0);
        if (kinds[m] != kNotRunning && gain <= best) continue;
        best = gain;
        kinds[m] = static_cast<int>(j);
      }
      if (kinds[m] != kNotRunning) idle[kinds[m]] -= gpus;
    }
    return kinds;
  }

 private:
  // Between equals a job stays where it is.
  static constexpr double kStay = 1e-3;

  // Least first. Without knowledge of run times: attained service in classes that double, so that
  // long jobs take turns by arrival and do not interrupt one another (Tiresias, Gu et al.,
  // NSDI'19). With it: GPU time to the end on the fastest kind.
  double Urgency(const ActiveJob& active) const {
    const auto gpus = static_cast<double>(active.job->num_gpus);
    if (knows_steps_) return active.steps_left / FastestRate(*active.job) * gpus;
    // Less than a round, so that who has not run at all goes before who has.
    constexpr double kFirstClassGpuS = 100;
    return std::floor(std::log2(1 + active.attained_gpu_s / kFirstClassGpuS));
  }

  // As PricesOfKinds, of the jobs that the cluster has room for when taken in order: what would be
  // gained by one more GPU of a kind.
  std::vector<double> Prices(const std::vector<ActiveJob>& jobs,
                             const std::vector<std::pair<double, size_t>>& order) const {
    double room = 0;
    for (double w : workers_) room += w;
    std::map<std::vector<double>, double> gpus_by_gain;
    for (const auto& [urgency, m] : order) {
      const auto gpus = static_cast<double>(jobs[m].job->num_gpus);
      if (room < gpus) continue;
      room -= gpus;
      std::vector<double> gain = jobs[m].job->throughput;
      for (double& rate : gain) rate /= FastestRate(*jobs[m].job);
      gpus_by_gain[gain] += gpus;
    }
    LinearProgram program;
    const size_t num_kinds = workers_.size();
    const size_t num_variables = gpus_by_gain.size() * num_kinds;
    size_t variable = 0;
    for (const auto& [gain, gpus] : gpus_by_gain) {
      program.rows.emplace_back(num_variables, 0.0);
      for (size_t j = 0; j < num_kinds; ++j) {
        program.objective.push_back(gain[j]);
        program.rows.back()[variable++] = 1;
      }
      program.bounds.push_back(gpus);
    }
    for (size_t j = 0; j < num_kinds; ++j) {
      program.rows.emplace_back(num_variables, 0.0);
      for (size_t v = j; v < num_variables; v += num_kinds) program.rows.back()[v] = 1;
      program.bounds.push_back(workers_[j]);
    }
    const LinearSolution solution = Maximize(program);
    return {solution.prices.end() - static_cast<std::ptrdiff_t>(num_kinds), solution.prices.end()};
  }

  std::vector<double> workers_;
  bool knows_steps_;
  std::vector<double> prices_;
};

}  // namespace

const std::vector<GavelPolicy>& AllGavelPolicies() {
  static const auto* policies = [] {
    auto* all = new std::vector<GavelPolicy>;
    for (const auto& [policy, name] : kNames) all->push_back(policy);
    return all;
  }();
  return *policies;
}

absl::string_view GavelPolicyName(GavelPolicy policy) {
  for (const auto& [named, name] : kNames) {
    if (named == policy) return name;
  }
  return "";
}

absl::StatusOr<GavelPolicy> ParseGavelPolicy(absl::string_view name) {
  std::string names;
  for (const auto& [policy, known] : kNames) {
    if (known == name) return policy;
    absl::StrAppend(&names, names.empty() ? "" : ", ", known);
  }
  return absl::InvalidArgumentError(absl::StrCat("no policy \"", name, "\"; there are ", names));
}

std::unique_ptr<GavelScheduler> MakeGavelScheduler(GavelPolicy policy,
                                                   std::vector<double> workers) {
  switch (policy) {
    case GavelPolicy::kFifo:
      return std::make_unique<FifoScheduler>(std::move(workers), false);
    case GavelPolicy::kFifoAware:
      return std::make_unique<FifoScheduler>(std::move(workers), true);
    case GavelPolicy::kLas:
      return std::make_unique<MaxMinScheduler>(std::move(workers), false);
    case GavelPolicy::kMaxMin:
      return std::make_unique<MaxMinScheduler>(std::move(workers), true);
    case GavelPolicy::kOneai:
      return std::make_unique<PricedScheduler>(std::move(workers), false);
    case GavelPolicy::kOneaiShort:
      return std::make_unique<PricedScheduler>(std::move(workers), true);
  }
  return nullptr;
}

}  // namespace oneai::fabric
