// The scheduler at scale: 10,000 nodes of 8 devices, 100,000 waiting jobs, the default policy.
//
//   scale_bench [--nodes N] [--jobs N] [--passes N] [--json FILE]
//
// placements   one pass over all jobs: tasks placed a second
// pass         the full cluster with 10,000 jobs waiting; each pass after the events of 50 ms at
// 100
//              events a second (jobs end, jobs come, now and then a node is cordoned or back):
//              reconcile and plan together
// memory       what 100,000 waiting jobs add to the process
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "benchmarks/compute_fabric/scheduler/workload.h"
#include "compute_fabric/scheduler/plan.h"

namespace oneai::fabric::bench {
namespace {

double SecondsOf(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Wall time, and the time this thread had a core: on a busy machine the second is what an idle one
// would take.
struct Elapsed {
  double wall = 0;
  double cpu = 0;
};

class Stopwatch {
 public:
  Elapsed Read() const {
    return {SecondsOf(CLOCK_MONOTONIC) - wall_, SecondsOf(CLOCK_THREAD_CPUTIME_ID) - cpu_};
  }

 private:
  double wall_ = SecondsOf(CLOCK_MONOTONIC);
  double cpu_ = SecondsOf(CLOCK_THREAD_CPUTIME_ID);
};

double ResidentMiB() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  statm >> size >> resident;
  return static_cast<double>(resident) * 4096 / (1 << 20);
}

double HeapMiB() { return static_cast<double>(mallinfo2().uordblks) / (1 << 20); }

struct Row {
  std::string name;
  double value = 0;
  std::string unit;
  double bar = 0;  // 0: none
  bool at_least = true;
};

struct Options {
  int nodes = 10'000;
  int64_t jobs = 100'000;
  int waiting = 10'000;
  int passes = 1'000;
  std::string json;
};

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

void AddNodes(SchedulerState& state, Workload& workload, int num_nodes) {
  for (int i = 0; i < num_nodes; ++i) SetNode(state, workload.Node(i));
  if (!SetQueues(state, Queues(num_nodes)).ok()) std::abort();
}

void MeasurePlacements(const Options& options, std::vector<Row>& rows) {
  Workload workload(1);
  SchedulerState state;
  AddNodes(state, workload, options.nodes);
  const double heap_before = HeapMiB();
  const double resident_before = ResidentMiB();
  for (int64_t i = 0; i < options.jobs; ++i) {
    SetJob(state, workload.Job(i, kStart + absl::Milliseconds(i)));
  }
  const double per_100k = 100'000.0 / static_cast<double>(options.jobs);
  rows.push_back({"state per 100,000 waiting jobs", (HeapMiB() - heap_before) * per_100k, "MiB"});
  rows.push_back(
      {"RSS per 100,000 waiting jobs", (ResidentMiB() - resident_before) * per_100k, "MiB"});

  const Stopwatch watch;
  const PlanResult result = Plan(state, Policy(), kStart + absl::Hours(1));
  const Elapsed took = watch.Read();
  int64_t num_tasks = 0;
  for (const JobPlacement& placement : result.placements) {
    num_tasks += static_cast<int64_t>(placement.tasks.size());
  }
  const auto placed = static_cast<double>(result.placements.size());
  rows.push_back({"placements (tasks)", static_cast<double>(num_tasks) / took.wall, "/s", 20'000});
  rows.push_back({"placements (tasks), CPU time", static_cast<double>(num_tasks) / took.cpu, "/s"});
  rows.push_back({"placements (jobs)", placed / took.wall, "/s"});
  rows.push_back({"jobs placed in that pass", placed, ""});
  rows.push_back({"jobs looked at in that pass", static_cast<double>(result.num_considered), ""});
  double free = 0;
  for (const auto& [name, amount] : state.cluster.free()) {
    if (name != kCpu && name != kMemory) free += static_cast<double>(amount);
  }
  rows.push_back({"devices allocated",
                  100 - free / (static_cast<double>(options.nodes) * 8 * kWholeDevice) * 100, "%"});
  rows.push_back({"RSS with 100,000 jobs placed or waiting", ResidentMiB(), "MiB"});
}

// A fabric in full use, and what happens to it.
class BusyFabric {
 public:
  explicit BusyFabric(const Options& options) : options_(options), workload_(2) {
    AddNodes(state_, workload_, options.nodes);
    do {
      TopUp();
      Plan(state_, policy_, now_);
      now_ += absl::Seconds(1);
    } while (state_.jobs.num_waiting() < options.waiting);
    state_.jobs.VisitRunning([&](const JobView& job) {
      running_.push_back(job.id);
      return true;
    });
  }

  // The events of one pass, then the pass; what it took.
  Elapsed Step(int num_events) {
    now_ += absl::Milliseconds(10 * num_events);
    std::vector<JobView> submitted;
    std::vector<std::string> ended;
    for (int i = 0; i < num_events; ++i) {
      if (i % 2 == 0 && !running_.empty()) {
        const auto at =
            static_cast<size_t>(workload_.Int(0, static_cast<int64_t>(running_.size()) - 1));
        ended.push_back(running_[at]);
        running_[at] = running_.back();
        running_.pop_back();
      } else {
        submitted.push_back(workload_.Job(num_jobs_++, now_));
      }
    }
    const Stopwatch watch;
    for (const std::string& id : ended) RemoveJob(state_, id);
    for (JobView& job : submitted) SetJob(state_, std::move(job));
    if (workload_.Int(0, 49) == 0) ToggleNode();
    const PlanResult result = Plan(state_, policy_, now_);
    const Elapsed took = watch.Read();
    for (const JobPlacement& placement : result.placements) running_.push_back(placement.job_id);
    num_placed_ += static_cast<int64_t>(result.placements.size());
    num_evicted_ += static_cast<int64_t>(result.evictions.size());
    // As the nodes would report: evicted jobs stop and wait again.
    for (const Eviction& eviction : result.evictions) Requeue(eviction.job_id);
    TopUp();
    return took;
  }

  int64_t num_placed() const { return num_placed_; }
  int64_t num_evicted() const { return num_evicted_; }

 private:
  void TopUp() {
    while (state_.jobs.num_waiting() < options_.waiting) {
      SetJob(state_, workload_.Job(num_jobs_++, now_));
    }
  }

  void ToggleNode() {
    const auto index = static_cast<NodeIndex>(workload_.Int(0, state_.cluster.num_indexes() - 1));
    NodeSpec spec = state_.cluster.node(index).spec;
    spec.unschedulable_reason = spec.unschedulable_reason.empty() ? "cordoned: disk swap" : "";
    SetNode(state_, spec);
  }

  void Requeue(const std::string& id) {
    const JobView* held = state_.jobs.Find(id);
    if (held == nullptr) return;
    JobView job = *held;
    job.placed.clear();
    job.stopping = false;
    job.started = absl::InfiniteFuture();
    job.ranks.clear();
    for (int rank = 0; rank < job.tasks; ++rank) job.ranks.push_back(rank);
    SetJob(state_, std::move(job));
    running_.erase(std::remove(running_.begin(), running_.end(), id), running_.end());
  }

  Options options_;
  Workload workload_;
  SchedulerState state_;
  Policy policy_;
  absl::Time now_ = kStart;
  int64_t num_jobs_ = 0;
  int64_t num_placed_ = 0;
  int64_t num_evicted_ = 0;
  std::vector<std::string> running_;
};

void MeasurePasses(const Options& options, std::vector<Row>& rows) {
  BusyFabric fabric(options);
  constexpr int kEventsPerPass = 5;
  std::vector<double> wall_ms;
  std::vector<double> cpu_ms;
  for (int i = 0; i < options.passes; ++i) {
    const Elapsed took = fabric.Step(kEventsPerPass);
    wall_ms.push_back(took.wall * 1e3);
    cpu_ms.push_back(took.cpu * 1e3);
  }
  const auto at = [](std::vector<double>& values, double share) {
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
  };
  rows.push_back({"pass p50, 10,000 waiting", at(wall_ms, 0.5), "ms"});
  rows.push_back({"pass p99, 10,000 waiting", at(wall_ms, 0.99), "ms", 50, false});
  rows.push_back({"pass max, 10,000 waiting", at(wall_ms, 1), "ms"});
  rows.push_back({"pass p50, CPU time", at(cpu_ms, 0.5), "ms"});
  rows.push_back({"pass p99, CPU time", at(cpu_ms, 0.99), "ms"});
  rows.push_back({"pass max, CPU time", at(cpu_ms, 1), "ms"});
  rows.push_back(
      {"jobs placed a pass", static_cast<double>(fabric.num_placed()) / options.passes, ""});
  rows.push_back(
      {"jobs evicted a pass", static_cast<double>(fabric.num_evicted()) / options.passes, ""});
}

std::string JsonOf(const std::vector<Row>& rows) {
  std::string json = "[\n";
  for (const Row& row : rows) {
    absl::StrAppend(&json, json.size() > 2 ? ",\n" : "", "  {\"name\": \"", row.name,
                    "\", \"value\": ", row.value, ", \"unit\": \"", row.unit, "\"");
    if (row.bar > 0) absl::StrAppend(&json, ", \"bar\": ", row.bar);
    absl::StrAppend(&json, "}");
  }
  return json + "\n]\n";
}

void Print(const std::vector<Row>& rows) {
  std::printf("%-42s %14s %-5s %s\n", "", "measured", "", "bar");
  for (const Row& row : rows) {
    std::printf("%-42s %14.2f %-5s", row.name.c_str(), row.value, row.unit.c_str());
    if (row.bar > 0) {
      const bool met = row.at_least ? row.value >= row.bar : row.value < row.bar;
      std::printf(" %s %.0f: %s", row.at_least ? ">=" : "<", row.bar, met ? "met" : "MISSED");
    }
    std::printf("\n");
  }
}

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const std::string value = argv[i + 1];
    if (flag == "--json") {
      options.json = value;
    } else if (!(flag == "--nodes" && absl::SimpleAtoi(value, &options.nodes)) &&
               !(flag == "--jobs" && absl::SimpleAtoi(value, &options.jobs)) &&
               !(flag == "--waiting" && absl::SimpleAtoi(value, &options.waiting)) &&
               !(flag == "--passes" && absl::SimpleAtoi(value, &options.passes))) {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace oneai::fabric::bench

int main(int argc, char** argv) {
  using namespace oneai::fabric::bench;  // NOLINT: a main of a few lines
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: %s [--nodes N] [--jobs N] [--waiting N] [--passes N] [--json FILE]\n",
                 argv[0]);
    return 2;
  }
  std::vector<Row> rows;
  MeasurePlacements(options, rows);
  MeasurePasses(options, rows);
  Print(rows);
  if (!options.json.empty()) std::ofstream(options.json) << JsonOf(rows);
  return 0;
}
