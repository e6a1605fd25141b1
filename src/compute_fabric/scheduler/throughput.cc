#include "compute_fabric/scheduler/throughput.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "compute_fabric/scheduler/score/linear_program.h"

namespace oneai::fabric {
namespace {

constexpr double kTolerance = 1e-7;
// What keeping a level that is already decided is worth against raising those that are not.
constexpr double kDecidedWeight = 1e5;

// Jobs that are alike: one set of variables for all of them.
struct JobGroup {
  const ThroughputJob* job = nullptr;
  double num_jobs = 0;
  std::vector<double> gain;  // of the objective, by a full share of a kind
  bool decided = false;
  double level = 0;
  std::vector<double> shares;
};

// sum_j T_mj x_eq_j
double EqualShareThroughput(const ThroughputJob& job, const std::vector<double>& workers) {
  double sum = 0;
  double all_workers = 0;
  for (size_t j = 0; j < workers.size(); ++j) {
    sum += job.throughput[j] * workers[j];
    all_workers += workers[j];
  }
  return all_workers > 0 ? sum / all_workers : 0;
}

// Raises the least level of the groups that are not decided, level by level.
class MaxMin {
 public:
  MaxMin(std::vector<JobGroup> groups, const std::vector<double>& workers)
      : groups_(std::move(groups)), workers_(workers) {}

  std::vector<JobGroup> Solve() {
    if (!AllOnTheirBest()) {
      while (RaiseOneLevel()) {
      }
    }
    return std::move(groups_);
  }

 private:
  // With room for everybody on the kind they like best there is nothing to share.
  bool AllOnTheirBest() {
    std::vector<double> left = workers_;
    for (JobGroup& group : groups_) {
      const auto best = std::max_element(group.gain.begin(), group.gain.end());
      const auto kind = static_cast<size_t>(best - group.gain.begin());
      left[kind] -= group.num_jobs * group.job->num_workers;
      group.shares.assign(workers_.size(), 0.0);
      group.shares[kind] = 1;
    }
    return std::all_of(left.begin(), left.end(), [](double l) { return l >= 0; });
  }

  // Variables: the shares by group and kind, then of each group its level if that is decided, then
  // the common level of the others.
  bool RaiseOneLevel() {
    const size_t num_kinds = workers_.size();
    const size_t num_shares = groups_.size() * num_kinds;
    const size_t common = num_shares + groups_.size();
    LinearProgram program;
    program.objective.assign(common + 1, 0.0);
    program.objective[common] = 1;
    const auto add_row = [&](double bound) -> std::vector<double>& {
      program.bounds.push_back(bound);
      return program.rows.emplace_back(common + 1, 0.0);
    };
    bool any_open = false;
    for (size_t g = 0; g < groups_.size(); ++g) {  // row g: its level is at most its throughput
      std::vector<double>& row = add_row(0);
      for (size_t j = 0; j < num_kinds; ++j) row[g * num_kinds + j] = -groups_[g].gain[j];
      row[groups_[g].decided ? num_shares + g : common] = 1;
      any_open = any_open || !groups_[g].decided;
    }
    if (!any_open) return false;
    for (size_t g = 0; g < groups_.size(); ++g) {
      std::vector<double>& row = add_row(1);
      for (size_t j = 0; j < num_kinds; ++j) row[g * num_kinds + j] = 1;
      if (!groups_[g].decided) continue;
      add_row(groups_[g].level)[num_shares + g] = 1;
      program.objective[num_shares + g] = kDecidedWeight;
    }
    for (size_t j = 0; j < num_kinds; ++j) {
      std::vector<double>& row = add_row(workers_[j]);
      for (size_t g = 0; g < groups_.size(); ++g) {
        row[g * num_kinds + j] = groups_[g].num_jobs * groups_[g].job->num_workers;
      }
    }
    Decide(Maximize(program), common);
    return true;
  }

  // A group whose row has a price holds the common level back: it cannot rise further.
  void Decide(const LinearSolution& solution, size_t common) {
    const size_t num_kinds = workers_.size();
    double price_max = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (!groups_[g].decided) price_max = std::max(price_max, solution.prices[g]);
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      JobGroup& group = groups_[g];
      group.shares.assign(solution.x.begin() + static_cast<std::ptrdiff_t>(g * num_kinds),
                          solution.x.begin() + static_cast<std::ptrdiff_t>((g + 1) * num_kinds));
      if (group.decided || solution.prices[g] < std::min(kTolerance, price_max)) continue;
      group.decided = true;
      group.level = solution.x[common];
    }
  }

  std::vector<JobGroup> groups_;
  const std::vector<double>& workers_;
};

// Demand of jobs that may use the same alternatives.
struct Demand {
  const std::vector<DeviceAlternative>* alternatives = nullptr;
  double num_tasks = 0;
};

// More distinct demands than this are not priced, the smallest left out: a pass must stay short.
constexpr size_t kDemandsMax = 64;
// Where demand and capacity meet exactly, any of a range of prices would do. A touch more demand
// chooses the upper end: somebody who has no other choice counts in full.
constexpr double kMoreDemand = 1e-3;
constexpr double kTouch = 1e-5;  // of a device at full speed

double FastestOf(const std::vector<DeviceAlternative>& alternatives) {
  double fastest = 0;
  for (const DeviceAlternative& a : alternatives)
    fastest = std::max(fastest, a.relative_throughput);
  return fastest;
}

double DevicesOf(const DeviceAlternative& alternative) {
  return static_cast<double>(alternative.total_milli()) / kWholeDevice;
}

bool AlternativesBefore(const std::vector<DeviceAlternative>& a,
                        const std::vector<DeviceAlternative>& b) {
  const auto fields = [](const DeviceAlternative& d) {
    return std::tie(d.kind, d.count, d.milli, d.relative_throughput);
  };
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [&](const auto& x, const auto& y) { return fields(x) < fields(y); });
}

// The demands for most devices, in a steady order. Empty: nobody has a choice.
std::vector<Demand> DemandsOf(const JobTable& jobs) {
  std::vector<Demand> all;
  bool any_choice = false;
  jobs.VisitShapes([&](const TaskShape& shape, int64_t num_tasks) {
    if (shape.devices.empty()) return;
    any_choice = any_choice || shape.devices.size() > 1;
    all.push_back({&shape.devices, static_cast<double>(num_tasks)});
  });
  if (!any_choice) return {};
  std::stable_sort(all.begin(), all.end(), [](const Demand& a, const Demand& b) {
    return AlternativesBefore(*a.alternatives, *b.alternatives);
  });
  std::vector<Demand> demands;
  for (const Demand& demand : all) {
    if (demands.empty() || AlternativesBefore(*demands.back().alternatives, *demand.alternatives)) {
      demands.push_back(demand);
    } else {
      demands.back().num_tasks += demand.num_tasks;
    }
  }
  const auto devices = [](const Demand& d) {
    return d.num_tasks * DevicesOf(d.alternatives->front());
  };
  std::stable_sort(demands.begin(), demands.end(),
                   [&](const Demand& a, const Demand& b) { return devices(a) > devices(b); });
  if (demands.size() > kDemandsMax) demands.resize(kDemandsMax);
  return demands;
}

// What a task gains on the alternative, in devices at full speed, less what the devices cost there.
double NetGain(const std::vector<DeviceAlternative>& alternatives, const DeviceAlternative& a,
               const KindPrices& prices) {
  const double fastest = FastestOf(alternatives);
  const double gain =
      fastest > 0 ? DevicesOf(alternatives.front()) * a.relative_throughput / fastest : 0;
  const auto price = prices.find(a.kind);
  return price != prices.end() ? gain - price->second * DevicesOf(a) : gain;
}

// Prices leave some jobs with two kinds that are equally good. Where the jobs that clearly want a
// kind fill it, its price is raised a touch, so that those to whom it is all one leave it to them.
void MarkClaimed(const std::vector<Demand>& demands, const ClusterState& cluster,
                 KindPrices& prices) {
  std::map<std::string, double> claimed;  // devices
  for (const Demand& demand : demands) {
    const DeviceAlternative* best = nullptr;
    bool clear = false;
    for (const DeviceAlternative& a : *demand.alternatives) {
      const double lead = best != nullptr ? NetGain(*demand.alternatives, a, prices) -
                                                NetGain(*demand.alternatives, *best, prices)
                                          : 1;
      clear = lead > kTouch || (clear && lead < -kTouch);
      if (lead > 0) best = &a;
    }
    if (clear) claimed[best->kind] += demand.num_tasks * DevicesOf(*best);
  }
  for (auto& [kind, price] : prices) {
    const auto capacity = cluster.capacity().find(kind);
    const double devices = capacity != cluster.capacity().end()
                               ? static_cast<double>(capacity->second) / kWholeDevice
                               : 0;
    if (claimed[kind] >= devices) price += kTouch;
  }
}

}  // namespace

double NormalizedThroughput(const ThroughputJob& job, const std::vector<double>& shares,
                            const std::vector<double>& workers) {
  const double equal_share = EqualShareThroughput(job, workers);
  if (equal_share <= 0) return 0;
  double sum = 0;
  for (size_t j = 0; j < workers.size(); ++j) sum += job.throughput[j] * shares[j];
  return job.num_workers * sum / equal_share;
}

std::vector<std::vector<double>> AllocateMaxMin(const std::vector<ThroughputJob>& jobs,
                                                const std::vector<double>& workers) {
  constexpr size_t kNoGroup = static_cast<size_t>(-1);
  std::vector<JobGroup> groups;
  std::vector<size_t> group_of_job(jobs.size(), kNoGroup);
  for (size_t m = 0; m < jobs.size(); ++m) {
    const double equal_share = EqualShareThroughput(jobs[m], workers);
    if (equal_share <= 0) continue;
    const auto same = std::find_if(groups.begin(), groups.end(),
                                   [&](const JobGroup& g) { return *g.job == jobs[m]; });
    group_of_job[m] = static_cast<size_t>(same - groups.begin());
    if (same != groups.end()) {
      ++same->num_jobs;
      continue;
    }
    JobGroup group;
    group.job = &jobs[m];
    group.num_jobs = 1;
    for (size_t j = 0; j < workers.size(); ++j) {
      const double gain = jobs[m].num_workers * jobs[m].throughput[j] / equal_share;
      group.gain.push_back(workers[j] > 0 ? gain / jobs[m].weight : 0);
    }
    groups.push_back(std::move(group));
  }
  groups = MaxMin(std::move(groups), workers).Solve();
  std::vector<std::vector<double>> shares(jobs.size(), std::vector<double>(workers.size(), 0.0));
  for (size_t m = 0; m < jobs.size(); ++m) {
    if (group_of_job[m] != kNoGroup) shares[m] = groups[group_of_job[m]].shares;
  }
  return shares;
}

KindPrices PricesOfKinds(const ClusterState& cluster, const JobTable& jobs) {
  const std::vector<Demand> demands = DemandsOf(jobs);
  std::map<std::string, size_t> row_of_kind;
  LinearProgram program;
  for (const Demand& demand : demands) {
    program.bounds.push_back(demand.num_tasks * (1 + kMoreDemand));
  }
  size_t num_variables = 0;
  for (const Demand& demand : demands) {
    num_variables += demand.alternatives->size();
    for (const DeviceAlternative& a : *demand.alternatives) {
      const auto capacity = cluster.capacity().find(a.kind);
      const int64_t milli = capacity != cluster.capacity().end() ? capacity->second : 0;
      const auto [entry, is_new] = row_of_kind.emplace(a.kind, program.bounds.size());
      if (is_new) program.bounds.push_back(static_cast<double>(milli) / kWholeDevice);
    }
  }
  program.rows.assign(program.bounds.size(), std::vector<double>(num_variables, 0.0));
  size_t variable = 0;
  for (size_t d = 0; d < demands.size(); ++d) {
    const double fastest = FastestOf(*demands[d].alternatives);
    const double devices = DevicesOf(demands[d].alternatives->front());
    for (const DeviceAlternative& a : *demands[d].alternatives) {
      program.objective.push_back(fastest > 0 ? devices * a.relative_throughput / fastest : 0);
      program.rows[d][variable] = 1;
      program.rows[row_of_kind.at(a.kind)][variable] = DevicesOf(a);
      ++variable;
    }
  }
  KindPrices prices;
  if (demands.empty()) return prices;
  const LinearSolution solution = Maximize(program);
  for (const auto& [kind, row] : row_of_kind) {
    if (solution.prices[row] > kTolerance) prices[kind] = solution.prices[row];
  }
  MarkClaimed(demands, cluster, prices);
  return prices;
}

std::vector<const DeviceAlternative*> RankAlternatives(const KindPrices& prices,
                                                       const Policy& policy, const JobView& job) {
  const std::vector<DeviceAlternative>& devices = job.shape.devices;
  std::vector<std::pair<int64_t, const DeviceAlternative*>> ranked;  // gain in units of tolerance
  const KindPrices none;
  for (const DeviceAlternative& a : devices) {
    const double gain = NetGain(devices, a, policy.throughput_aware ? prices : none);
    ranked.emplace_back(std::llround(gain / kTolerance), &a);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first > b.first;
    return a.second->relative_throughput > b.second->relative_throughput;
  });
  std::vector<const DeviceAlternative*> alternatives;
  for (const auto& [gain, alternative] : ranked) alternatives.push_back(alternative);
  return alternatives;
}

}  // namespace oneai::fabric
