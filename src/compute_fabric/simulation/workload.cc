#include "compute_fabric/simulation/workload.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric::simulation {
namespace {

// Longer than any process is suspended.
constexpr absl::Duration kLateRepeat = absl::Minutes(2);
// How long jobs without an end go on when all is well again.
constexpr absl::Duration kEndlessMore = absl::Seconds(30);

// From `low` to `high`, short ones as likely as long ones.
int64_t LogUniform(Random& random, double low, double high) {
  return static_cast<int64_t>(low * std::pow(high / low, random.Fraction()));
}

void DrawShape(Random& random, v1::JobSpec& spec) {
  const double sort = random.Fraction();
  spec.set_gang(sort < 0.55);
  spec.set_long_running(sort > 0.9);
  spec.set_num_tasks(static_cast<int32_t>(random.Between(1, spec.gang() ? 4 : 3)));
  v1::Resources& resources = *spec.mutable_resources();
  resources.set_cpu_milli(random.Between(1, 40) * 100);
  resources.set_memory_bytes(random.Between(1, 8) << 30);
  if (random.Chance(0.6)) {
    const int64_t count = random.Between(1, 2);
    const bool both = random.Chance(0.5);
    const int32_t share = random.Chance(0.3) ? static_cast<int32_t>(random.Between(1, 3)) * 250 : 0;
    for (const char* kind : {"gpu-a", "asic-b"}) {
      if (!both && random.Chance(0.5)) continue;
      v1::DeviceRequest* device = resources.add_devices();
      device->set_kind(kind);
      device->set_count(static_cast<int32_t>(share > 0 ? 1 : count));
      device->set_milli(share);
    }
  }
  if (random.Chance(0.2)) spec.set_spread(v1::NODE);
  if (spec.gang() && spec.num_tasks() > 1 && random.Chance(0.3))
    spec.set_num_tasks_min(static_cast<int32_t>(random.Between(1, spec.num_tasks() - 1)));
}

// Array or sweep, of which sometimes only some may run at once.
void DrawArray(Random& random, v1::JobSpec& spec) {
  const int running_max = random.Chance(0.5) ? static_cast<int>(random.Between(1, 3)) : 0;
  if (random.Chance(0.5)) {
    spec.mutable_array()->set_indices(absl::StrCat("0-", random.Between(1, 8)));
    spec.mutable_array()->set_running_max(running_max);
    return;
  }
  spec.mutable_sweep()->set_running_max(running_max);
  for (const char* name : {"depth", "width"}) {
    v1::SweepParameter& parameter = *spec.mutable_sweep()->add_parameters();
    parameter.set_name(name);
    for (int64_t i = random.Between(1, 3); i > 0; --i) parameter.add_values(absl::StrCat(i));
  }
}

}  // namespace

Workload::Workload(World* world) : world_(world), user_(Everybody()), operators_(world) {}

void Workload::Begin(absl::Time until) {
  Simulator& simulator = world_->simulator();
  simulator.Repeat(simulator.random().Between(absl::Seconds(3), absl::Seconds(15)), until,
                   [this] { Submit(); });
  simulator.Repeat(absl::Seconds(40), until, [this] { CancelAny(); });
  simulator.Repeat(absl::Seconds(60), until, [this] { RetryAny(); });
  operators_.Begin(until);
}

v1::JobSpec Workload::DrawSpec(const std::string& request_id) {
  Random& random = world_->simulator().random();
  v1::JobSpec spec;
  spec.set_name(request_id);
  spec.set_project(kProjects[random.Next() % std::size(kProjects)]);
  spec.set_kind("command");
  spec.add_command("/bin/true");
  DrawShape(random, spec);
  static constexpr const char* kClasses[] = {"high", "normal", "normal", "low", "idle"};
  spec.set_priority_class(kClasses[random.Next() % std::size(kClasses)]);
  if (random.Chance(0.3)) {
    spec.mutable_preemption()->set_warning_signal(10);
    spec.mutable_preemption()->set_warning_ms(random.Between(100, 3000));
  }
  if (!jobs_.empty() && random.Chance(0.15)) {
    v1::Dependency* dependency = spec.add_depends_on();
    dependency->set_job_id(!arrays_.empty() && random.Chance(0.3) ? random.Pick(arrays_)
                                                                  : random.Pick(jobs_));
    dependency->set_condition(random.Chance(0.5) ? v1::AFTER_OK : v1::AFTER_ANY);
  }
  spec.mutable_restart()->set_max_restarts(static_cast<int32_t>(random.Between(-1, 3)));
  spec.mutable_restart()->set_backoff_initial_ms(random.Between(100, 2000));
  spec.mutable_restart()->set_backoff_max_ms(4000);
  spec.set_grace_ms(random.Between(200, 5000));
  auto& env = *spec.mutable_env();
  env[kRequestVariable] = request_id;
  env[kFailureVariable] = random.Chance(0.3) ? "200" : "0";
  env[kDurationVariable] =
      spec.long_running() ? "0" : absl::StrCat(LogUniform(random, 200, 90'000));
  if (!spec.long_running() && random.Chance(0.1)) spec.set_time_limit_ms(30'000);
  if (!spec.long_running() && random.Chance(0.12)) DrawArray(random, spec);
  if (random.Chance(0.3)) spec.set_reservation(operators_.ReservationOf(spec.project()));
  return spec;
}

void Workload::Submit() {
  // A fabric that knows no machine yet takes everything, also what will never fit on those to come.
  if (world_->truth().nodes().size() < world_->machines().size()) return;
  const std::string request_id = absl::StrCat("request-", ++num_submitted_);
  v1::SubmitJobRequest request;
  request.set_request_id(request_id);
  *request.mutable_spec() = DrawSpec(request_id);
  ++num_open_;
  world_->Call<v1::SubmitJobResponse>(
      [this, request](ControllerCore& core) { return core.jobs.Submit(request, user_); },
      [this, request_id](const absl::StatusOr<v1::SubmitJobResponse>& response) {
        --num_open_;
        if (!response.ok()) {
          ++num_refused_;
          world_->simulator().trace().Add("user", request_id,
                                          " is refused: ", response.status().ToString());
          return;
        }
        if (response->array_id().empty()) {
          world_->truth().SubmitAcknowledged(request_id, response->job().id());
        } else {
          world_->truth().ArrayAcknowledged(request_id, *response);
          arrays_.push_back(response->array_id());
        }
        jobs_.insert(jobs_.end(), response->job_ids().begin(), response->job_ids().end());
      });
}

void Workload::Cancel(const std::string& job_id) {
  v1::CancelJobRequest request;
  request.set_id(job_id);
  ++num_open_;
  world_->Call<v1::Job>(
      [this, request](ControllerCore& core) { return core.jobs.Cancel(request, user_); },
      [this, job_id](const absl::StatusOr<v1::Job>& job) {
        --num_open_;
        world_->simulator().trace().Add("user", "cancel of ", job_id, ": ",
                                        job.status().ToString());
        if (absl::IsNotFound(job.status())) {
          world_->truth().Violate(
              "no acknowledged job lost",
              absl::StrCat(job_id, " cannot be cancelled: ", job.status().ToString()), {job_id});
        }
      });
}

void Workload::CancelAny() {
  Random& random = world_->simulator().random();
  if (!arrays_.empty() && random.Chance(0.15)) return Cancel(random.Pick(arrays_));
  if (!jobs_.empty()) Cancel(random.Pick(jobs_));
}

void Workload::RetryAny() {
  if (jobs_.empty()) return;
  const std::string job_id = world_->simulator().random().Pick(jobs_);
  if (!IsFinished(world_->truth().jobs().at(job_id).state())) return;
  world_->truth().RetryRequested(job_id);
  v1::RetryJobRequest request;
  request.set_id(job_id);
  ++num_open_;
  world_->Call<v1::Job>(
      [this, request](ControllerCore& core) { return core.jobs.Retry(request, user_); },
      [this, job_id](const absl::StatusOr<v1::Job>& job) {
        --num_open_;
        world_->simulator().trace().Add("user", "retry of ", job_id, ": ", job.status().ToString());
      });
}

// Calls overtake each other, and one that was repeated may be carried out again long after its
// answer, by a controller that slept: the last ones wait until none can be left.
void Workload::WindDown() {
  if (num_open_ + operators_.num_open() > 0) {
    world_->simulator().After(absl::Seconds(1), [this] { WindDown(); });
  } else {
    world_->simulator().After(kLateRepeat, [this] { CalmDown(); });
  }
}

void Workload::CalmDown() {
  operators_.CalmDown();
  // Jobs without an end must run once more before they end: that, too, is liveness.
  world_->simulator().After(kEndlessMore, [this] {
    wound_down_ = true;
    // From the store, not from the answers: a submit that was refused and came again, late, may
    // have been taken the second time. What waits for a reservation that is over waits until it is
    // cancelled.
    std::vector<std::string> endless;
    for (const auto& [id, job] : world_->truth().jobs()) {
      const bool ends = !job.spec().long_running() && job.spec().reservation().empty();
      if (!ends && !IsFinished(job.state())) endless.push_back(id);
    }
    for (const std::string& id : endless) Cancel(id);
  });
}

}  // namespace oneai::fabric::simulation
