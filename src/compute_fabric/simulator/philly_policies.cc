#include "compute_fabric/simulator/philly_policies.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace oneai::fabric {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// One policy's run: the clock, the free devices, who runs. Jobs are their index.
class Pool {
 public:
  Pool(const std::vector<PhillyJob>& jobs, int num_gpus)
      : jobs_(jobs), free_(num_gpus), completion_(jobs.size(), 0) {}

  template <typename Admit, typename Schedule>
  std::vector<int64_t> Run(Admit admit, Schedule schedule) {
    size_t next = 0;
    while (next < jobs_.size() || !running_.empty()) {
      now_ = running_.empty() ? kNever : running_.begin()->first;
      if (next < jobs_.size()) now_ = std::min(now_, jobs_[next].submit_s);
      while (!running_.empty() && running_.begin()->first == now_) {
        const size_t job = running_.begin()->second;
        running_.erase(running_.begin());
        free_ += jobs_[job].num_gpus;
        completion_[job] = now_;
      }
      for (; next < jobs_.size() && jobs_[next].submit_s == now_; ++next) admit(next);
      schedule();
    }
    return std::move(completion_);
  }

  bool Fits(size_t job) const { return jobs_[job].num_gpus <= free_; }
  void Start(size_t job) { StartWith(job, jobs_[job].duration_s); }
  void StartWith(size_t job, int64_t remaining_s) {
    free_ -= jobs_[job].num_gpus;
    running_.emplace(now_ + remaining_s, job);
  }
  void Stop(int64_t end, size_t job) {
    free_ += jobs_[job].num_gpus;
    running_.erase({end, job});
  }

  const std::vector<PhillyJob>& jobs() const { return jobs_; }
  int64_t now() const { return now_; }
  int free() const { return free_; }
  const std::set<std::pair<int64_t, size_t>>& running() const { return running_; }  // end, job

 private:
  const std::vector<PhillyJob>& jobs_;
  int free_;
  int64_t now_ = 0;
  std::set<std::pair<int64_t, size_t>> running_;
  std::vector<int64_t> completion_;
};

std::vector<int64_t> RunFifo(const std::vector<PhillyJob>& jobs, int num_gpus) {
  Pool pool(jobs, num_gpus);
  size_t head = 0, admitted = 0;
  return pool.Run([&](size_t job) { admitted = job + 1; },
                  [&] {
                    while (head < admitted && pool.Fits(head)) pool.Start(head++);
                  });
}

// When `needed` devices will be free, and how many more than that will be.
std::pair<int64_t, int> ShadowTime(const Pool& pool, int needed) {
  int free = pool.free();
  for (const auto& [end, job] : pool.running()) {
    free += pool.jobs()[job].num_gpus;
    if (free >= needed) {
      // All that end at that instant count.
      int at_end = pool.free();
      for (const auto& [other_end, other] : pool.running()) {
        if (other_end > end) break;
        at_end += pool.jobs()[other].num_gpus;
      }
      return {end, at_end - needed};
    }
  }
  return {kNever, 0};
}

std::vector<int64_t> RunEasy(const std::vector<PhillyJob>& jobs, int num_gpus) {
  Pool pool(jobs, num_gpus);
  std::set<size_t> waiting;
  return pool.Run([&](size_t job) { waiting.insert(job); },
                  [&] {
                    while (!waiting.empty() && pool.Fits(*waiting.begin())) {
                      pool.Start(*waiting.begin());
                      waiting.erase(waiting.begin());
                    }
                    if (waiting.empty() || pool.free() == 0) return;
                    auto [shadow, spare] = ShadowTime(pool, jobs[*waiting.begin()].num_gpus);
                    for (auto it = std::next(waiting.begin());
                         it != waiting.end() && pool.free() > 0;) {
                      const PhillyJob& job = jobs[*it];
                      const bool ends_before = pool.now() + job.duration_s <= shadow;
                      if (!pool.Fits(*it) || (!ends_before && job.num_gpus > spare)) {
                        ++it;
                        continue;
                      }
                      if (!ends_before) spare -= job.num_gpus;
                      pool.Start(*it);
                      it = waiting.erase(it);
                    }
                  });
}

std::vector<int64_t> RunSkip(const std::vector<PhillyJob>& jobs, int num_gpus) {
  Pool pool(jobs, num_gpus);
  std::set<size_t> waiting;
  return pool.Run([&](size_t job) { waiting.insert(job); },
                  [&] {
                    for (auto it = waiting.begin(); it != waiting.end() && pool.free() > 0;) {
                      if (!pool.Fits(*it)) {
                        ++it;
                        continue;
                      }
                      pool.Start(*it);
                      it = waiting.erase(it);
                    }
                  });
}

std::vector<int64_t> RunSjf(const std::vector<PhillyJob>& jobs, int num_gpus) {
  Pool pool(jobs, num_gpus);
  std::set<std::pair<int64_t, size_t>> waiting;  // duration, job
  return pool.Run([&](size_t job) { waiting.emplace(jobs[job].duration_s, job); },
                  [&] {
                    for (auto it = waiting.begin(); it != waiting.end() && pool.free() > 0;) {
                      if (!pool.Fits(it->second)) {
                        ++it;
                        continue;
                      }
                      pool.Start(it->second);
                      it = waiting.erase(it);
                    }
                  });
}

// All jobs, running or not, by remaining time; each that fits in what those before it leave runs.
std::vector<int64_t> RunSrtf(const std::vector<PhillyJob>& jobs, int num_gpus) {
  Pool pool(jobs, num_gpus);
  std::set<std::pair<int64_t, size_t>> waiting;  // remaining, job
  return pool.Run(
      [&](size_t job) { waiting.emplace(jobs[job].duration_s, job); },
      [&] {
        std::vector<std::pair<int64_t, size_t>> to_start, to_stop;  // remaining | end, job
        int left = num_gpus;
        auto w = waiting.begin();
        auto r = pool.running().begin();
        while (left > 0 && (w != waiting.end() || r != pool.running().end())) {
          const bool running_first =
              r != pool.running().end() &&
              (w == waiting.end() || std::make_pair(r->first - pool.now(), r->second) < *w);
          const size_t job = running_first ? r->second : w->second;
          const bool fits = jobs[job].num_gpus <= left;
          if (fits) left -= jobs[job].num_gpus;
          if (running_first) {
            if (!fits) to_stop.push_back(*r);
            ++r;
          } else {
            if (fits) to_start.push_back(*w);
            ++w;
          }
        }
        for (; r != pool.running().end(); ++r) to_stop.push_back(*r);
        for (const auto& [end, job] : to_stop) {
          pool.Stop(end, job);
          waiting.emplace(end - pool.now(), job);
        }
        for (const auto& [remaining, job] : to_start) {
          waiting.erase({remaining, job});
          pool.StartWith(job, remaining);
        }
      });
}

}  // namespace

std::vector<int64_t> SimulatePool(const std::vector<PhillyJob>& jobs, int num_gpus,
                                  PoolPolicy policy) {
  switch (policy) {
    case PoolPolicy::kFifo:
      return RunFifo(jobs, num_gpus);
    case PoolPolicy::kEasy:
      return RunEasy(jobs, num_gpus);
    case PoolPolicy::kSkip:
      return RunSkip(jobs, num_gpus);
    case PoolPolicy::kSjf:
      return RunSjf(jobs, num_gpus);
    case PoolPolicy::kSrtf:
      return RunSrtf(jobs, num_gpus);
  }
  return {};
}

}  // namespace oneai::fabric
