// The controller's loop around the scheduler: how many placements a second become durable (SQLite,
// several a commit), and what a step costs when something happens while many jobs wait.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/store/sqlite_store.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/controller/schedule_loop.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_store.h"

namespace oneai::fabric {
namespace {

constexpr int kDevices = 8;

// Folders cost the disk, not the loop.
class NoFolders final : public ArtifactFolders {
 public:
  absl::Status Create(const std::filesystem::path&) override { return absl::OkStatus(); }
  absl::Status Announce(const std::filesystem::path&, std::optional<int>, int) override {
    return absl::OkStatus();
  }
};

// A controller whose nodes are records only: nothing runs on them but what is reported here.
class Fabric {
 public:
  explicit Fabric(int num_nodes)
      : dir_(std::filesystem::temp_directory_path() / absl::StrCat("oneai-loop-bench-", getpid())) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
    store_ = *SqliteStore::Open((dir_ / "store.db").string());
    options_.log_dir = dir_ / "logs";
    options_.artifact_dir = dir_ / "artifacts";
    options_.folders = &folders_;
    options_.lease = absl::Hours(24);
    state_ = std::make_unique<FabricState>(store_.get(), &clock_);
    state_->Load().IgnoreError();
    schedule_ = std::make_unique<LiveSchedule>(state_.get(), &options_);
    logs_ = std::make_unique<LogStore>(options_.log_dir);
    metrics_ = std::make_unique<MetricStore>(logs_.get());
    sessions_ = std::make_unique<NodeSessions>(state_.get(), &hooks_, &options_, logs_.get(),
                                               metrics_.get());
    sessions_->Start();
    loop_ = std::make_unique<ScheduleLoop>(state_.get(), schedule_.get(), sessions_.get(),
                                           logs_.get(), &options_);
    for (int i = 0; i < num_nodes; ++i) AddNode(absl::StrCat("node-", i));
  }
  ~Fabric() { std::filesystem::remove_all(dir_); }

  void AddJobs(int count) {
    std::vector<v1::Job> jobs;
    for (int i = 0; i < count; ++i) {
      v1::Job& job = jobs.emplace_back();
      job.set_id(absl::StrCat("job-", num_jobs_++));
      job.set_state(v1::PENDING);
      job.mutable_submitted()->set_seconds(absl::ToUnixSeconds(clock_.Now()));
      job.set_artifact_dir("none");
      v1::JobSpec& spec = *job.mutable_spec();
      spec.set_name("bench");
      spec.set_project(absl::StrCat("unit-", i % 5, "/main"));
      spec.set_num_tasks(1);
      spec.set_gang(true);
      spec.mutable_resources()->set_cpu_milli(1000);
      v1::DeviceRequest& device = *spec.mutable_resources()->add_devices();
      device.set_kind("gpu");
      device.set_count(1 << (i % 3));
      if (jobs.size() == 100 || i + 1 == count) {
        state_->CreateJobs(jobs, Transaction(), {}).IgnoreError();
        jobs.clear();
      }
    }
  }
  // One running job ends: its devices are free.
  bool EndOne() {
    for (const std::string& id : state_->job_index().Unfinished()) {
      const JobRecord job = state_->jobs().Find(id);
      if (job.value->state() != v1::STARTING) continue;
      v1::TaskReport report;
      report.set_attempt(1);
      report.set_state(v1::TASK_EXITED);
      return state_
          ->UpdateJob(id,
                      [&](v1::Job& copy, EventDrafts& events) {
                        ApplyReport(copy, report, clock_.Now(), events);
                        return Advance(copy, clock_.Now(), events);
                      })
          .ok();
    }
    return false;
  }
  int NumPlaced() const {
    int placed = 0;
    for (const JobRecord& job : state_->jobs().All())
      placed += job.value->state() == v1::STARTING ? 1 : 0;
    return placed;
  }
  bool Step() {
    clock_.Advance(absl::Milliseconds(10));
    return loop_->Step().ok();
  }

 private:
  void AddNode(const std::string& name) {
    state_
        ->UpdateNode(name,
                     [&](v1::Node& node, EventDrafts&) {
                       v1::NodeInfo& info = *node.mutable_info();
                       info.set_name(name);
                       info.set_address("127.0.0.1");
                       info.set_cpu_milli(64'000);
                       info.set_memory_bytes(int64_t{512} << 30);
                       info.set_port_first(20'000);
                       info.set_port_last(29'999);
                       for (int i = 0; i < kDevices; ++i) {
                         v1::Device& device = *info.add_devices();
                         device.set_id(absl::StrCat("gpu-", i));
                         device.set_kind("gpu");
                         device.set_healthy(true);
                       }
                       node.set_state(v1::READY);
                       return true;
                     })
        .IgnoreError();
  }

  const std::filesystem::path dir_;
  NoFolders folders_;
  FakeClock clock_;
  ControllerHooks hooks_;
  ControllerOptions options_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<FabricState> state_;
  std::unique_ptr<LiveSchedule> schedule_;
  std::unique_ptr<LogStore> logs_;
  std::unique_ptr<MetricStore> metrics_;
  std::unique_ptr<NodeSessions> sessions_;
  std::unique_ptr<ScheduleLoop> loop_;
  int num_jobs_ = 0;
};

void BM_DurablePlacements(benchmark::State& state) {
  const int num_nodes = static_cast<int>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    Fabric fabric(num_nodes);
    fabric.AddJobs(num_nodes * 3);
    state.ResumeTiming();
    const absl::Time begin = absl::Now();
    if (!fabric.Step()) return state.SkipWithError("step");
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    state.PauseTiming();
    state.counters["placements_per_second"] = fabric.NumPlaced() / seconds;
    state.ResumeTiming();
  }
}
BENCHMARK(BM_DurablePlacements)->Arg(1000)->Iterations(1)->Unit(benchmark::kMillisecond);

// Steps in which one job ends and another takes its place, with so many more waiting.
void BM_StepWithWaitingJobs(benchmark::State& state) {
  Fabric fabric(1000);
  fabric.AddJobs(static_cast<int>(state.range(0)));
  if (!fabric.Step()) return state.SkipWithError("step");
  std::vector<double> milliseconds;
  for (auto _ : state) {
    if (!fabric.EndOne()) return state.SkipWithError("nothing runs");
    const absl::Time begin = absl::Now();
    if (!fabric.Step()) return state.SkipWithError("step");
    milliseconds.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  state.counters["p50_ms"] = milliseconds[milliseconds.size() / 2];
  state.counters["p99_ms"] = milliseconds[milliseconds.size() * 99 / 100];
}
BENCHMARK(BM_StepWithWaitingJobs)->Arg(14'000)->Iterations(200)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace oneai::fabric

BENCHMARK_MAIN();
