#include "compute_fabric/scheduler/smallest_change.h"

#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/describe.h"

namespace oneai::fabric {
namespace {

class ChangeSearch {
 public:
  ChangeSearch(WaitScene& scene, const JobView& job) : scene_(scene), job_(job) {}

  std::string Run() {
    TryTimeLimit();
    TryWishes();
    TryCpu();
    TryMemory();
    TryTasks();
    TryDevices();
    TryKinds();
    return best_.empty() ? "" : absl::StrCat("would start now ", best_);
  }

 private:
  bool Fits(const JobView& job) { return !scene_.Try(job).tasks.empty(); }

  void Offer(double cost, std::string words) {
    if (!best_.empty() && cost >= best_cost_) return;
    best_ = std::move(words);
    best_cost_ = cost;
  }

  // The largest value in [least, most] for which the changed job fits; least - 1: none. Fitting is
  // taken to be monotone.
  int64_t Largest(int64_t least, int64_t most, const std::function<JobView(int64_t)>& with) {
    if (most < least || !Fits(with(least))) return least - 1;
    while (least < most) {
      const int64_t middle = least + (most - least + 1) / 2;
      if (Fits(with(middle))) {
        least = middle;
      } else {
        most = middle - 1;
      }
    }
    return least;
  }

  void TryTimeLimit() {
    const std::vector<absl::Time> deadlines = scene_.Deadlines();
    JobView shorter = job_;
    const auto fits = [&](absl::Duration limit) {
      shorter.time_limit = limit;
      return Fits(shorter);
    };
    // Among thousands of holds, the latest few are as good as all.
    int left = 32;
    for (auto it = deadlines.rbegin(); it != deadlines.rend() && left > 0; ++it) {
      const absl::Duration limit = absl::Trunc(*it - scene_.now(), absl::Seconds(1));
      if (limit <= absl::ZeroDuration() || limit >= job_.time_limit) continue;
      --left;
      if (!fits(limit)) continue;
      const double share = job_.time_limit == absl::InfiniteDuration()
                               ? 0.5
                               : 1 - absl::FDivDuration(limit, job_.time_limit);
      Offer(0.05 + 0.3 * share,
            absl::StrCat("with a time limit of ", FormatLength(limit),
                         job_.time_limit == absl::InfiniteDuration()
                             ? " instead of none"
                             : absl::StrCat(" instead of ", FormatLength(job_.time_limit))));
      return;
    }
  }

  void TryWishes() {
    if (job_.topology && job_.topology->required) {
      JobView preferred = job_;
      preferred.topology->required = false;
      if (Fits(preferred)) {
        Offer(0.1, absl::StrCat("with \"same ", LevelName(job_.topology->level),
                                "\" preferred instead of required"));
      }
    }
    if (job_.spread == SpreadPolicy::kNode && job_.ranks.size() > 1) {
      JobView preferred = job_;
      preferred.spread = SpreadPolicy::kNodePreferred;
      if (Fits(preferred)) Offer(0.1, "with different nodes preferred instead of required");
    }
  }

  void TryCpu() {
    constexpr int64_t kStep = 100;  // milli
    const int64_t fit = Largest(1, (job_.shape.cpu_milli - 1) / kStep, [&](int64_t steps) {
      JobView changed = job_;
      changed.shape.cpu_milli = steps * kStep;
      return changed;
    });
    if (fit < 1) return;
    const double share = static_cast<double>(fit * kStep) / job_.shape.cpu_milli;
    Offer(0.05 + 0.4 * (1 - share), absl::StrCat("with ", FormatCpus(fit * kStep), " instead of ",
                                                 FormatCpuNumber(job_.shape.cpu_milli), Each()));
  }

  void TryMemory() {
    constexpr int64_t kStep = int64_t{256} << 20;
    const int64_t fit = Largest(1, (job_.shape.memory_bytes - 1) / kStep, [&](int64_t steps) {
      JobView changed = job_;
      changed.shape.memory_bytes = steps * kStep;
      return changed;
    });
    if (fit < 1) return;
    const double share = static_cast<double>(fit * kStep) / job_.shape.memory_bytes;
    Offer(0.05 + 0.6 * (1 - share),
          absl::StrCat("with ", FormatBytes(fit * kStep), " instead of ",
                       FormatBytes(job_.shape.memory_bytes), " of memory", Each()));
  }

  // A job that is no gang takes what it can get: fewer tasks would not help it.
  void TryTasks() {
    if (!job_.gang) return;
    const int64_t least = std::max(1, job_.tasks_min);
    const int64_t fit = Largest(1, least - 1, [&](int64_t num_tasks) {
      JobView changed = job_;
      changed.tasks = changed.tasks_min = static_cast<int>(num_tasks);
      changed.ranks.resize(num_tasks);
      return changed;
    });
    if (fit < 1) return;
    const double share = static_cast<double>(fit) / static_cast<double>(least);
    Offer(0.05 + 0.7 * (1 - share),
          absl::StrCat("with ", fit, fit == 1 ? " task" : " tasks", " instead of ", least));
  }

  void TryDevices() {
    for (size_t i = 0; i < job_.shape.devices.size(); ++i) {
      const DeviceAlternative& device = job_.shape.devices[i];
      const bool is_share = device.milli < kWholeDevice;
      constexpr int64_t kStep = 10;  // milli
      const int64_t most = is_share ? (device.milli - 1) / kStep : device.count - 1;
      const int64_t fit = Largest(1, most, [&](int64_t amount) {
        JobView changed = job_;
        if (is_share) {
          changed.shape.devices[i].milli = static_cast<int32_t>(amount * kStep);
        } else {
          changed.shape.devices[i].count = static_cast<int32_t>(amount);
        }
        return changed;
      });
      if (fit < 1) continue;
      DeviceAlternative less = device;
      (is_share ? less.milli : less.count) = static_cast<int32_t>(is_share ? fit * kStep : fit);
      const double share =
          static_cast<double>(less.total_milli()) / static_cast<double>(device.total_milli());
      Offer(0.05 + 0.8 * (1 - share),
            absl::StrCat("with ", DescribeDevice(less), " instead of ",
                         is_share ? FormatCpuNumber(device.milli) : absl::StrCat(device.count),
                         Each()));
    }
  }

  void TryKinds() {
    if (job_.shape.devices.empty()) return;
    std::set<std::string> kinds;
    for (const auto& [resource, amount] : scene_.state().cluster.free()) {
      if (resource != kCpu && resource != kMemory && amount > 0) kinds.insert(resource);
    }
    for (const DeviceAlternative& device : job_.shape.devices) kinds.erase(device.kind);
    for (const std::string& kind : kinds) {
      JobView changed = job_;
      changed.shape.devices = {job_.shape.devices[0]};
      changed.shape.devices[0].kind = kind;
      if (!Fits(changed)) continue;
      Offer(0.5, absl::StrCat("on ", DescribeDevice(changed.shape.devices[0]), Each(),
                              " instead of ", job_.shape.devices[0].kind));
      return;
    }
  }

  const char* Each() const { return job_.ranks.size() > 1 ? " each" : ""; }

  WaitScene& scene_;
  const JobView& job_;
  std::string best_;
  double best_cost_ = 0;
};

}  // namespace

std::string FindSmallestChange(WaitScene& scene, const JobView& job) {
  return ChangeSearch(scene, job).Run();
}

}  // namespace oneai::fabric
