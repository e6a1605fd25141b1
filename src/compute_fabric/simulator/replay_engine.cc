#include "compute_fabric/simulator/replay_engine.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <queue>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/plan.h"

namespace oneai::fabric {
namespace {

// Passes at one instant: an eviction frees a place at once, and the pass that follows uses it.
constexpr int kPassesMax = 16;

double NumDevices(const std::vector<TaskPlacement>& tasks) {
  int64_t milli = 0;
  for (const TaskPlacement& task : tasks) {
    if (task.device) milli += task.device->total_milli();
  }
  return static_cast<double>(milli) / kWholeDevice;
}

double Throughput(const TaskPlacement& task) {
  return task.device ? task.device->relative_throughput : 1;
}

double BestThroughput(const TaskShape& shape) {
  double best = 0;
  for (const DeviceAlternative& device : shape.devices) {
    best = std::max(best, device.relative_throughput);
  }
  return best > 0 ? best : 1;
}

// A job while it has not completed.
struct Live {
  absl::Duration done;  // of run_time, safe in a checkpoint when it is not running
  absl::Time started = absl::InfiniteFuture();
  double speed = 0;
  double num_devices = 0;
  std::map<std::string, double> devices;  // by kind
  int attempt = 0;                        // events of older ones are void
  int tasks_next = 0;                     // after the resize that it has been told of; 0: none
};

struct Event {
  enum class Kind { kEnd, kResize, kWake };
  absl::Time time;
  Kind kind = Kind::kWake;
  size_t job = 0;
  int attempt = 0;

  bool operator>(const Event& other) const {
    return std::tie(time, kind, job) > std::tie(other.time, other.kind, other.job);
  }
};

class Engine {
 public:
  Engine(const std::vector<ReplayJob>& jobs, const ReplaySettings& settings)
      : jobs_(jobs), settings_(settings), live_(jobs.size()) {
    result_.jobs.resize(jobs.size());
  }

  absl::Status Begin(const ReplayCluster& cluster) {
    RETURN_IF_ERROR(SetQueues(state_, cluster.queues));
    std::set<absl::Time> edges;
    for (const NodeSpec& node : cluster.nodes) {
      SetNode(state_, node);
      for (const DeviceSpec& device : node.devices) ++result_.num_devices[device.kind];
      for (const NodeHold& hold : node.holds) edges.insert({hold.start, hold.end});
    }
    for (absl::Time edge : edges) events_.push({edge, Event::Kind::kWake});
    return absl::OkStatus();
  }

  ReplayResult Run() {
    std::vector<size_t> order(jobs_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return jobs_[a].request.submitted < jobs_[b].request.submitted;
    });
    if (!order.empty()) {
      now_ = result_.begin = result_.end = jobs_[order[0]].request.submitted;
    }
    size_t next = 0;
    while (next < order.size() || !events_.empty()) {
      now_ = events_.empty() ? absl::InfiniteFuture() : events_.top().time;
      if (next < order.size()) now_ = std::min(now_, jobs_[order[next]].request.submitted);
      HandleEvents();
      for (; next < order.size() && jobs_[order[next]].request.submitted <= now_; ++next) {
        Submit(order[next], next);
      }
      PlanAndApply();
    }
    return std::move(result_);
  }

 private:
  void HandleEvents() {
    while (!events_.empty() && events_.top().time <= now_) {
      const Event event = events_.top();
      events_.pop();
      if (event.kind == Event::Kind::kWake) {
        wake_ = absl::InfiniteFuture();
        continue;
      }
      if (live_[event.job].attempt != event.attempt) continue;
      if (event.kind == Event::Kind::kEnd) {
        Complete(event.job);
      } else {
        Restart(event.job, live_[event.job].tasks_next);
        ++result_.jobs[event.job].num_resizes;
      }
    }
  }

  void Submit(size_t job, size_t sequence) {
    JobView view = jobs_[job].request;
    view.sequence = sequence;
    view.line_delay = LineDelay(settings_.policy, view.time_limit);
    index_.emplace(view.id, job);
    if (view.gang && view.tasks_min < view.tasks) ++num_elastic_;
    SetJob(state_, std::move(view));
  }

  // The job's running time so far is over: what it held is counted.
  void Count(size_t job) {
    Live& live = live_[job];
    const double seconds = absl::ToDoubleSeconds(now_ - live.started);
    result_.jobs[job].device_seconds += seconds * live.num_devices;
    for (const auto& [kind, num] : live.devices) {
      result_.busy_device_seconds[kind] += seconds * num;
    }
  }

  void Complete(size_t job) {
    Live& live = live_[job];
    Count(job);
    result_.jobs[job].completed = now_;
    result_.jobs[job].stopped_at_limit =
        live.done + (now_ - live.started) * live.speed + absl::Milliseconds(1) <
        jobs_[job].run_time;
    result_.end = std::max(result_.end, now_);
    const JobView& request = jobs_[job].request;
    if (request.gang && request.tasks_min < request.tasks) --num_elastic_;
    RemoveJob(state_, request.id);
    ++live.attempt;
  }

  // Stops the job, which waits again for at most `tasks` ranks (all work up to the last checkpoint
  // is kept).
  void Stop(size_t job, int tasks, bool returning, int times_reclaimed) {
    Live& live = live_[job];
    Count(job);
    const absl::Duration ran = now_ - live.started;
    const absl::Duration kept = settings_.checkpoint_interval == absl::InfiniteDuration()
                                    ? absl::ZeroDuration()
                                    : absl::Floor(ran, settings_.checkpoint_interval);
    live.done += kept * live.speed;
    result_.jobs[job].lost_device_seconds += absl::ToDoubleSeconds(ran - kept) * live.num_devices;
    live.started = absl::InfiniteFuture();
    live.tasks_next = 0;
    ++live.attempt;
    JobView view = *state_.jobs.Find(jobs_[job].request.id);
    view.placed.clear();
    view.started = absl::InfiniteFuture();
    view.last_checkpoint = absl::InfinitePast();
    view.stopping = false;
    view.returning = returning;
    view.times_reclaimed = times_reclaimed;
    view.ranks.clear();
    for (int rank = 0; rank < tasks; ++rank) view.ranks.push_back(rank);
    SetJob(state_, std::move(view));
  }

  // A resize at a checkpoint: comes back with so many ranks, before newcomers.
  void Restart(size_t job, int tasks) {
    Stop(job, tasks, true, state_.jobs.Find(jobs_[job].request.id)->times_reclaimed);
  }

  void Start(size_t job, const std::vector<TaskPlacement>& tasks) {
    // A job that is no gang may get the rest of its ranks later: its pace changes.
    Live& live = live_[job];
    if (live.started != absl::InfiniteFuture()) {
      Count(job);
      live.done += (now_ - live.started) * live.speed;
    }
    const JobView& view = *state_.jobs.Find(jobs_[job].request.id);
    live.started = now_;
    live.num_devices = NumDevices(view.placed);
    live.devices.clear();
    double throughput = tasks.empty() ? 1 : Throughput(tasks[0]);
    for (const TaskPlacement& task : view.placed) {
      throughput = std::min(throughput, Throughput(task));
      if (task.device) {
        live.devices[task.device->kind] +=
            static_cast<double>(task.device->total_milli()) / kWholeDevice;
      }
    }
    live.speed = throughput / BestThroughput(view.shape) * static_cast<double>(view.placed.size()) /
                 std::max(1, jobs_[job].request.tasks);
    ReplayedJob& replayed = result_.jobs[job];
    if (replayed.first_start == absl::InfiniteFuture()) replayed.first_start = now_;
    absl::Time end = now_ + (jobs_[job].run_time - live.done) / live.speed;
    end = std::min(end, view.started + view.time_limit);
    events_.push({std::max(end, now_), Event::Kind::kEnd, job, ++live.attempt});
    live.tasks_next = 0;
  }

  void Resized(const Resize& resize) {
    const size_t job = index_.at(resize.job_id);
    Live& live = live_[job];
    if (live.started == absl::InfiniteFuture()) return;
    if (live.tasks_next != 0) {
      // Not yet carried out: the latest wish counts.
      live.tasks_next = resize.tasks;
      return;
    }
    live.tasks_next = resize.tasks;
    absl::Time checkpoint = now_;
    if (settings_.checkpoint_interval != absl::InfiniteDuration()) {
      checkpoint = live.started + absl::Ceil(now_ - live.started, settings_.checkpoint_interval);
    }
    events_.push({checkpoint, Event::Kind::kResize, job, live.attempt});
  }

  void PlanAndApply() {
    for (int pass = 0; pass < kPassesMax; ++pass) {
      if (state_.jobs.num_waiting() == 0 && num_elastic_ == 0) return;
      const auto began = std::chrono::steady_clock::now();
      const PlanResult plan = Plan(state_, settings_.policy, now_);
      const absl::Duration took = absl::FromChrono(std::chrono::steady_clock::now() - began);
      result_.planning += took;
      result_.slowest_pass = std::max(result_.slowest_pass, took);
      ++result_.num_passes;
      result_.num_considered += plan.num_considered;
      for (const JobPlacement& placement : plan.placements) {
        Start(index_.at(placement.job_id), placement.tasks);
      }
      for (const Eviction& eviction : plan.evictions) Evicted(eviction);
      for (const Resize& resize : plan.resizes) Resized(resize);
      if (plan.evictions.empty()) break;
    }
    WakeLater();
  }

  void Evicted(const Eviction& eviction) {
    const size_t job = index_.at(eviction.job_id);
    if (live_[job].started == absl::InfiniteFuture()) return;
    ++result_.jobs[job].num_evictions;
    const int times = state_.jobs.Find(eviction.job_id)->times_reclaimed +
                      (eviction.cause == EvictionCause::kReclaim ? 1 : 0);
    const bool returning =
        eviction.cause == EvictionCause::kMaintenance || eviction.cause == EvictionCause::kDrain;
    Stop(job, jobs_[job].request.tasks, returning, times);
  }

  // While something runs there is a reason to look again; without, waiting is in vain.
  void WakeLater() {
    if (state_.jobs.num_waiting() == 0 || events_.empty()) return;
    if (wake_ <= now_ + settings_.tick) return;
    wake_ = now_ + settings_.tick;
    bool anything_ahead = false;
    state_.jobs.VisitRunning([&](const JobView&) {
      anything_ahead = true;
      return false;
    });
    if (anything_ahead) events_.push({wake_, Event::Kind::kWake});
  }

  const std::vector<ReplayJob>& jobs_;
  const ReplaySettings& settings_;
  SchedulerState state_;
  absl::Time now_;
  absl::Time wake_ = absl::InfiniteFuture();
  std::vector<Live> live_;
  absl::flat_hash_map<std::string, size_t> index_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  int64_t num_elastic_ = 0;
  ReplayResult result_;
};

}  // namespace

absl::StatusOr<ReplayResult> Replay(const ReplayCluster& cluster,
                                    const std::vector<ReplayJob>& jobs,
                                    const ReplaySettings& settings) {
  Engine engine(jobs, settings);
  RETURN_IF_ERROR(engine.Begin(cluster));
  return engine.Run();
}

}  // namespace oneai::fabric
