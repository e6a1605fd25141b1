#include "compute_fabric/simulation/workload.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_state.h"

namespace oneai::fabric::simulation {
namespace {

constexpr const char* kProjects[] = {"retail/nlp", "retail/vision", "finance/risk"};

// Longer than any process is suspended.
constexpr absl::Duration kLateRepeat = absl::Minutes(2);
// How long jobs without an end go on when all is well again.
constexpr absl::Duration kEndlessMore = absl::Seconds(30);

Identity Everybody() {
  Identity identity;
  identity.principal.set_kind(common::v1::Principal::USER);
  identity.principal.set_name("alice");
  identity.principal.set_business_unit("*");
  auth::v1::RoleBinding binding;
  binding.set_role(auth::v1::ADMIN);
  binding.set_business_unit("*");
  identity.bindings.push_back(binding);
  return identity;
}

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

}  // namespace

Workload::Workload(World* world) : world_(world), user_(Everybody()) {}

void Workload::Repeat(absl::Duration mean, absl::Time until, std::function<void()> action) {
  Simulator& simulator = world_->simulator();
  const absl::Duration wait = simulator.random().Exponential(mean);
  if (simulator.Now() + wait >= until) return;
  simulator.After(wait, [this, mean, until, action] {
    action();
    Repeat(mean, until, action);
  });
}

void Workload::Begin(absl::Time until) {
  Random& random = world_->simulator().random();
  Repeat(random.Between(absl::Seconds(3), absl::Seconds(15)), until, [this] { Submit(); });
  Repeat(absl::Seconds(40), until, [this] { CancelAny(); });
  Repeat(absl::Seconds(60), until, [this] { RetryAny(); });
  Repeat(absl::Seconds(60), until, [this] { Cordon(); });
  Repeat(absl::Seconds(60), until, [this] { ChangeQuota(); });
  Repeat(absl::Seconds(90), until, [this] { Drain(); });
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
    dependency->set_job_id(random.Pick(jobs_));
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
  const bool endless = request.spec().long_running();
  world_->Call<v1::SubmitJobResponse>(
      [this, request](ControllerCore& core) { return core.jobs.Submit(request, user_); },
      [this, request_id, endless](const absl::StatusOr<v1::SubmitJobResponse>& response) {
        --num_open_;
        if (!response.ok()) {
          ++num_refused_;
          world_->simulator().trace().Add("user", request_id,
                                          " is refused: ", response.status().ToString());
          return;
        }
        world_->truth().SubmitAcknowledged(request_id, response->job().id());
        jobs_.push_back(response->job().id());
        if (endless) endless_.push_back(response->job().id());
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
  if (!jobs_.empty()) Cancel(world_->simulator().random().Pick(jobs_));
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

void Workload::Cordon() {
  const std::string node = world_->simulator().random().Pick(world_->machines())->name();
  SetCordoned(node, !cordoned_.contains(node));
}

void Workload::SetCordoned(const std::string& node, bool cordoned) {
  if (cordoned) {
    cordoned_.insert(node);
  } else {
    cordoned_.erase(node);
  }
  v1::SetNodeSchedulableRequest request;
  request.set_name(node);
  request.set_schedulable(!cordoned);
  ++num_open_;
  world_->Call<v1::Node>(
      [this, request](ControllerCore& core) {
        return core.sessions.SetSchedulable(request, user_);
      },
      [this](const absl::StatusOr<v1::Node>&) { --num_open_; });
}

// The node is put back into service by the next uncordon.
void Workload::Drain() {
  Random& random = world_->simulator().random();
  v1::DrainNodeRequest request;
  request.set_name(random.Pick(world_->machines())->name());
  request.set_reason("maintenance");
  request.set_deadline_ms(random.Between(1'000, 60'000));
  cordoned_.insert(request.name());
  ++num_open_;
  world_->Call<bool>(
      [this, request](ControllerCore& core) -> absl::StatusOr<bool> {
        const absl::Status drained = core.nodes.Drain(request, user_);
        if (!drained.ok()) return drained;
        return true;
      },
      [this](const absl::StatusOr<bool>&) { --num_open_; });
}

void Workload::ChangeQuota() {
  Random& random = world_->simulator().random();
  SetQuota(kProjects[random.Next() % std::size(kProjects)],
           random.Chance(0.3) ? 0 : random.Between(4, 30) * 1000);
}

void Workload::SetQuota(const std::string& project, int64_t cpu_milli) {
  ++num_open_;
  v1::Queue queue;
  queue.set_project(project);
  queue.set_cpu_milli_limit(cpu_milli);
  world_->Call<v1::Queue>(
      [this, queue](ControllerCore& core) -> absl::StatusOr<v1::Queue> {
        // QueueRequests makes its callers wait for each other with a lock, which in one thread
        // would be for ever.
        while (changing_queues_.contains(&core.queues)) {
          world_->simulator().Sleep(absl::Milliseconds(10));
          if (!world_->simulator().OwnerLives()) return absl::UnavailableError("killed");
        }
        changing_queues_.insert(&core.queues);
        absl::StatusOr<v1::Queue> set = core.queues.Set(queue, user_);
        changing_queues_.erase(&core.queues);
        return set;
      },
      [this](const absl::StatusOr<v1::Queue>&) { --num_open_; });
}

// Calls overtake each other, and one that was repeated may be carried out again long after its
// answer, by a controller that slept: the last ones wait until none can be left.
void Workload::WindDown() {
  if (num_open_ > 0) {
    world_->simulator().After(absl::Seconds(1), [this] { WindDown(); });
  } else {
    world_->simulator().After(kLateRepeat, [this] { CalmDown(); });
  }
}

void Workload::CalmDown() {
  for (const auto& machine : world_->machines()) SetCordoned(machine->name(), false);
  for (const char* project : kProjects) SetQuota(project, 0);
  // Jobs without an end must run once more before they end: that, too, is liveness.
  world_->simulator().After(kEndlessMore, [this] {
    wound_down_ = true;
    for (const std::string& job : endless_) Cancel(job);
  });
}

}  // namespace oneai::fabric::simulation
