#include "compute_fabric/simulator/gavel_simulation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <utility>

namespace oneai::fabric {
namespace {

struct Ended {
  double jct_s = 0;
  double fairness = 0;
};

class GavelSimulation {
 public:
  GavelSimulation(const std::vector<GavelJob>& jobs, GavelPolicy policy,
                  const GavelOptions& options)
      : options_(options), scheduler_(MakeGavelScheduler(policy, options.workers)) {
    for (double w : options.workers) num_gpus_ += w;
    for (const GavelJob& job : jobs) {
      if (Fits(job)) waiting_.push_back(&job);
    }
  }

  GavelOutcome Run() {
    if (waiting_.empty()) return {};
    const double start = waiting_.front()->arrival_s;
    double now = start;
    size_t next = 0;
    while (next < waiting_.size() || !active_.empty()) {
      bool changed = std::exchange(some_ended_, false);
      for (; next < waiting_.size() && waiting_[next]->arrival_s <= now; ++next) {
        Arrive(*waiting_[next]);
        changed = true;
      }
      if (active_.empty()) {
        const double rounds = std::ceil((waiting_[next]->arrival_s - now) / options_.round_s);
        now += std::max(rounds, 1.0) * options_.round_s;
        continue;
      }
      if (changed) {
        for (Progress& p : active_) p.view.rounds_on.assign(options_.workers.size(), 0.0);
      }
      RunRound(now, changed);
      now += options_.round_s;
    }
    return Summary(start);
  }

 private:
  struct Progress {
    ActiveJob view;
    double isolated_steps = 0;  // what an equal share would have done so far
  };

  bool Fits(const GavelJob& job) const {
    for (size_t j = 0; j < options_.workers.size(); ++j) {
      if (job.throughput[j] > 0 && static_cast<double>(job.num_gpus) <= options_.workers[j]) {
        return true;
      }
    }
    return false;
  }

  void Arrive(const GavelJob& job) {
    Progress progress;
    progress.view.job = &job;
    progress.view.steps_left = job.total_steps;
    progress.view.rounds_on.assign(options_.workers.size(), 0.0);
    active_.push_back(std::move(progress));
  }

  double IsolatedRate(const GavelJob& job) const {
    double rate = 0;
    for (size_t j = 0; j < options_.workers.size(); ++j) {
      rate += job.throughput[j] * options_.workers[j] / num_gpus_;
    }
    const double share = num_gpus_ / static_cast<double>(active_.size());
    return rate * std::min(1.0, share / static_cast<double>(job.num_gpus));
  }

  void RunRound(double now, bool changed) {
    std::vector<ActiveJob> views;
    views.reserve(active_.size());
    for (const Progress& p : active_) views.push_back(p.view);
    const std::vector<int> kinds = scheduler_->Assign(views, changed);
    std::vector<double> isolated_rates;
    for (const Progress& p : active_) isolated_rates.push_back(IsolatedRate(*p.view.job));
    std::vector<Progress> left;
    left.reserve(active_.size());
    for (size_t m = 0; m < active_.size(); ++m) {
      Progress& p = active_[m];
      const double seconds = Advance(p.view, kinds[m]);
      p.isolated_steps += isolated_rates[m] * seconds;
      if (p.view.steps_left > 0) {
        left.push_back(std::move(p));
        continue;
      }
      End(p, now + seconds);
    }
    active_ = std::move(left);
  }

  // Runs the job for a round on the kind; returns how much of the round it was there.
  double Advance(ActiveJob& job, int kind) {
    const int before = std::exchange(job.kind, kind);
    if (before != kNotRunning && before != kind) ++num_interruptions_;
    if (kind == kNotRunning) return options_.round_s;
    const double lost = before == kind ? 0 : options_.restart_s;
    const double rate = job.job->throughput[kind];
    const double work_s = std::min(options_.round_s - lost, job.steps_left / rate);
    const auto gpus = static_cast<double>(job.job->num_gpus);
    const double fastest =
        *std::max_element(job.job->throughput.begin(), job.job->throughput.end());
    used_gpu_s_ += (lost + work_s) * gpus;
    job.attained_gpu_s += work_s * gpus * rate / fastest;
    job.rounds_on[kind] += 1;
    const bool ends = work_s < options_.round_s - lost || job.steps_left <= rate * work_s;
    job.steps_left = ends ? 0 : job.steps_left - rate * work_s;
    return ends ? lost + work_s : options_.round_s;
  }

  void End(const Progress& p, double at) {
    some_ended_ = true;
    last_end_ = std::max(last_end_, at);
    Ended ended;
    ended.jct_s = at - p.view.job->arrival_s;
    // The time to the end at the mean speed of an equal share, against the time it took.
    ended.fairness = p.isolated_steps / p.view.job->total_steps;
    ended_.push_back(ended);
  }

  GavelOutcome Summary(double start) const {
    GavelOutcome outcome;
    const auto n = static_cast<double>(ended_.size());
    outcome.num_jobs = static_cast<int64_t>(ended_.size());
    std::vector<double> jcts;
    for (const Ended& ended : ended_) {
      jcts.push_back(ended.jct_s);
      outcome.mean_jct_s += ended.jct_s / n;
      outcome.worst_fairness = std::max(outcome.worst_fairness, ended.fairness);
      outcome.unfair_share += ended.fairness > 1 ? 1 / n : 0;
    }
    std::sort(jcts.begin(), jcts.end());
    outcome.median_jct_s = jcts[jcts.size() / 2];
    outcome.p99_jct_s = jcts[jcts.size() * 99 / 100];
    outcome.makespan_s = last_end_ - start;
    outcome.utilization = used_gpu_s_ / (num_gpus_ * outcome.makespan_s);
    outcome.interruptions_per_job = static_cast<double>(num_interruptions_) / n;
    return outcome;
  }

  const GavelOptions& options_;
  std::unique_ptr<GavelScheduler> scheduler_;
  double num_gpus_ = 0;
  std::vector<const GavelJob*> waiting_;  // by arrival
  std::vector<Progress> active_;          // by arrival
  std::vector<Ended> ended_;
  bool some_ended_ = false;
  double last_end_ = 0;
  double used_gpu_s_ = 0;
  int64_t num_interruptions_ = 0;
};

}  // namespace

GavelOutcome SimulateGavel(const std::vector<GavelJob>& jobs, GavelPolicy policy,
                           const GavelOptions& options) {
  return GavelSimulation(jobs, policy, options).Run();
}

}  // namespace oneai::fabric
