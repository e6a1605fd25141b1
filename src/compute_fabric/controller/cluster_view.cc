#include "compute_fabric/controller/cluster_view.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_lifecycle.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

// FNV-1a: stable across builds, unlike std::hash.
uint64_t PortSeed(const v1::Job& job) {
  uint64_t hash = 1469598103934665603ull;
  for (unsigned char c : absl::StrCat(job.id(), "/", job.attempt()))
    hash = (hash ^ c) * 1099511628211ull;
  return hash;
}

DeviceAlternative MakeAlternative(const v1::DeviceRequest& device) {
  return {
      .kind = device.kind(),
      .count = device.count(),
      .milli = device.milli() > 0 ? device.milli() : kWholeDevice,
      .memory_bytes = device.memory_bytes(),
      .relative_throughput = device.relative_throughput() > 0 ? device.relative_throughput() : 1};
}

// A node without it gives whole devices only: Slurm's launcher cannot bound a share. An
// administrator may say so of any node.
constexpr char kSharesLabel[] = "device-shares";
constexpr char kGivesShares[] = "yes";

bool WantsOnlyShares(const TaskShape& shape) {
  return !shape.devices.empty() &&
         std::all_of(shape.devices.begin(), shape.devices.end(),
                     [](const DeviceAlternative& device) { return device.milli < kWholeDevice; });
}

TaskShape MakeShape(const v1::JobSpec& spec) {
  TaskShape shape{
      .cpu_milli = spec.resources().cpu_milli(),
      .memory_bytes = spec.resources().memory_bytes(),
      .num_ports = std::max(spec.resources().num_ports(), spec.gang() ? 1 : 0),
      .node_selector = {spec.node_selector().begin(), spec.node_selector().end()},
  };
  for (const v1::DeviceRequest& device : spec.resources().devices())
    shape.devices.push_back(MakeAlternative(device));
  if (WantsOnlyShares(shape)) shape.node_selector.emplace(kSharesLabel, kGivesShares);
  return shape;
}

SpreadPolicy MakeSpread(const v1::JobSpec& spec) {
  switch (spec.spread()) {
    case v1::NODE:
      // A gang that asks for different nodes means it; replicas rather share one than stay away.
      return spec.gang() ? SpreadPolicy::kNode : SpreadPolicy::kNodePreferred;
    case v1::SPREAD_RACK:
      return SpreadPolicy::kRackPreferred;
    default:
      return SpreadPolicy::kPack;
  }
}

std::optional<TopologyWish> MakeTopology(const v1::TopologyWish& wish) {
  switch (wish.level()) {
    case v1::NVLINK:
      return TopologyWish{TopologyLevel::kNvlink, wish.required()};
    case v1::HOST:
      return TopologyWish{TopologyLevel::kHost, wish.required()};
    case v1::RACK:
      return TopologyWish{TopologyLevel::kRack, wish.required()};
    case v1::ZONE:
      return TopologyWish{TopologyLevel::kZone, wish.required()};
    default:
      return std::nullopt;
  }
}

TaskPlacement MakePlacement(const v1::Task& task) {
  TaskPlacement placed{.rank = task.rank(), .node = task.node(), .address = task.address()};
  if (task.has_device()) placed.device = MakeAlternative(task.device());
  for (const v1::DeviceGrant& grant : task.grants()) {
    placed.grants.push_back(
        {.id = grant.id(), .milli = grant.milli(), .memory_bytes = grant.memory_bytes()});
  }
  // Records from before shares name the devices only: all of each.
  if (task.grants().empty()) {
    for (const std::string& id : task.device_ids()) placed.grants.push_back({.id = id});
  }
  placed.ports.assign(task.ports().begin(), task.ports().end());
  return placed;
}

// The paths of a queue and of all above it, but the root.
std::vector<std::string> PathsAbove(const std::string& path) {
  std::vector<std::string> paths = {path};
  for (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    paths.push_back(path.substr(0, slash));
  }
  return paths;
}

int64_t RoundedUpToDevices(int64_t milli) { return (milli + kWholeDevice - 1) / kWholeDevice; }

void AddUse(v1::Queue& queue, const Amounts& amounts) {
  for (const auto& [resource, amount] : amounts) (*queue.mutable_used())[resource] += amount;
}

// The same use in the fields from before the tree.
void FillOldFields(v1::Queue& queue) {
  for (const auto& [resource, amount] : queue.used()) {
    if (resource == kCpu) {
      queue.set_cpu_milli_used(amount);
    } else if (resource == kMemory) {
      queue.set_memory_bytes_used(amount);
    } else {
      (*queue.mutable_device_used())[resource] = RoundedUpToDevices(amount);
    }
  }
}

}  // namespace

std::string UnschedulableReason(const v1::Node& node) {
  const auto with = [](absl::string_view word, const std::string& why) {
    return why.empty() ? std::string(word) : absl::StrCat(word, ": ", why);
  };
  if (node.cordoned()) return with("cordoned", node.cordon_reason());
  if (node.has_drain()) return with("draining", node.drain().reason());
  if (node.state() == v1::LOST) return "lost: no heartbeat";
  if (node.state() != v1::READY) return with("not ready", node.message());
  if (node.spare() && node.standing_in_for().empty()) return "held as a hot spare";
  return "";
}

JobView MakeJobView(const v1::Job& job, std::vector<std::string> gates, const Policy& policy,
                    absl::Time now) {
  const v1::JobSpec& spec = job.spec();
  JobView view{.id = job.id(),
               .queue = QueueOf(spec),
               .user = job.owner().name(),
               .priority = spec.priority(),
               .submitted = GetTime(job.submitted()),
               .sequence = static_cast<uint64_t>(job.array_index()),
               .gang = spec.gang(),
               .tasks = spec.num_tasks(),
               .shape = MakeShape(spec),
               .spread = MakeSpread(spec),
               .topology = MakeTopology(spec.topology()),
               .reservation = spec.reservation(),
               .ranks = RanksToPlace(job, now),
               .gates = std::move(gates),
               .returning = job.returning(),
               .port_seed = PortSeed(job),
               .preemptible = IsPreemptible(spec),
               .times_reclaimed = job.num_preemptions(),
               .stopping = job.state() == v1::STOPPING || job.warned_unix_ms() > 0};
  if (spec.time_limit_ms() > 0) view.time_limit = absl::Milliseconds(spec.time_limit_ms());
  view.line_delay = LineDelay(policy, view.time_limit);
  // A gang that is being resized waits for the new number, not for the most it could use.
  if (spec.gang() && !view.ranks.empty()) view.tasks = static_cast<int>(view.ranks.size());
  view.tasks_min = spec.gang() ? std::min(NumTasksMin(spec), view.tasks) : 1;
  for (const v1::Task& task : job.tasks()) {
    if (IsActive(task.state())) view.placed.push_back(MakePlacement(task));
  }
  if (!view.placed.empty())
    view.started = job.has_attempt_started() ? GetTime(job.attempt_started()) : now;
  if (job.has_last_checkpoint_time()) view.last_checkpoint = GetTime(job.last_checkpoint_time());
  return view;
}

NodeSpec MakeNodeSpec(const v1::Node& node, const std::vector<ReservationSpec>& reservations,
                      absl::Time now) {
  const v1::NodeInfo& info = node.info();
  NodeSpec spec{.name = info.name(),
                .address = info.address(),
                .cpu_milli = info.cpu_milli(),
                .memory_bytes = info.memory_bytes(),
                .labels = {info.labels().begin(), info.labels().end()},
                .port_first = info.port_first(),
                .port_last = info.port_last() == 0 ? -1 : info.port_last(),
                .unschedulable_reason = UnschedulableReason(node),
                .holds = HoldsOf(info.name(), reservations, now)};
  if (info.launcher() != "slurm") spec.labels.emplace(kSharesLabel, kGivesShares);
  for (const auto& [name, value] : node.labels()) spec.labels[name] = value;
  for (const v1::Device& device : info.devices()) {
    spec.devices.push_back({.id = device.id(),
                            .kind = device.kind(),
                            .memory_bytes = device.memory_bytes(),
                            .healthy = device.healthy(),
                            .nvlink_domain = device.topology()});
  }
  return spec;
}

ReservationSpec MakeReservationSpec(const v1::Reservation& reservation) {
  return {.name = reservation.name(),
          .use = reservation.kind() == v1::RESERVED ? ReservationUse::kReserved
                                                    : ReservationUse::kMaintenance,
          .nodes = {reservation.nodes().begin(), reservation.nodes().end()},
          .start = absl::FromUnixMillis(reservation.start_unix_ms()),
          .end = absl::FromUnixMillis(reservation.end_unix_ms()),
          .project = reservation.project(),
          .reason = reservation.reason()};
}

QueueSpec MakeQueueSpec(const v1::Queue& queue) {
  const auto amounts = [](const auto& map) { return Amounts(map.begin(), map.end()); };
  QueueSpec spec{.path = queue.project(),
                 .nominal = amounts(queue.nominal()),
                 .borrowing_limit = amounts(queue.borrowing_limit()),
                 .lending_limit = amounts(queue.lending_limit()),
                 .limit = amounts(queue.limit()),
                 .weight = queue.weight() == 0 ? 1 : queue.weight(),
                 .reserve = queue.reserve(),
                 .sandbox = queue.sandbox()};
  if (queue.cpu_milli_limit() > 0) spec.limit.emplace(kCpu, queue.cpu_milli_limit());
  if (queue.memory_bytes_limit() > 0) spec.limit.emplace(kMemory, queue.memory_bytes_limit());
  for (const auto& [kind, devices] : queue.device_limit()) {
    if (devices > 0) spec.limit.emplace(kind, devices * kWholeDevice);
  }
  return spec;
}

v1::Node WithUse(const v1::Node& node, const std::vector<Record<v1::Job>>& jobs) {
  v1::Node result = node;
  result.set_cpu_milli_used(0);
  result.set_memory_bytes_used(0);
  result.clear_device_ids_used();
  result.clear_task_names();
  std::map<std::string, v1::DeviceGrant> grants;
  for (const Record<v1::Job>& job : jobs) {
    for (const v1::Task& task : job.value->tasks()) {
      if (task.node() != node.info().name() || !IsActive(task.state())) continue;
      const v1::Resources& resources = job.value->spec().resources();
      result.set_cpu_milli_used(result.cpu_milli_used() + resources.cpu_milli());
      result.set_memory_bytes_used(result.memory_bytes_used() + resources.memory_bytes());
      for (const DeviceGrant& grant : MakePlacement(task).grants) {
        v1::DeviceGrant& sum = grants[grant.id];
        sum.set_id(grant.id);
        sum.set_milli(sum.milli() + grant.milli);
        sum.set_memory_bytes(sum.memory_bytes() + grant.memory_bytes);
      }
      result.add_task_names(absl::StrCat(job.value->id(), "/", task.rank()));
    }
  }
  result.clear_grants_used();
  for (auto& [id, grant] : grants) {
    result.add_device_ids_used(id);
    *result.add_grants_used() = std::move(grant);
  }
  return result;
}

std::vector<v1::Queue> QueuesWithUse(const std::vector<Record<v1::Queue>>& queues,
                                     const std::vector<Record<v1::Job>>& unfinished_jobs) {
  std::map<std::string, v1::Queue> by_path;
  for (const Record<v1::Queue>& queue : queues) by_path[queue.value->project()] = *queue.value;
  for (const Record<v1::Job>& record : unfinished_jobs) {
    const v1::Job& job = *record.value;
    if (IsFinished(job.state())) continue;
    const TaskShape shape = MakeShape(job.spec());
    Amounts amounts;
    int num_active = 0;
    for (const v1::Task& task : job.tasks()) {
      if (!IsActive(task.state())) continue;
      ++num_active;
      const TaskPlacement placed = MakePlacement(task);
      Add(amounts, AmountsOf(shape, placed.device ? &*placed.device : nullptr));
    }
    const std::string& own = QueueOf(job.spec());
    for (const std::string& path : PathsAbove(own)) {
      // A unit that nobody set up is shown by its projects alone.
      if (path != own && by_path.count(path) == 0) continue;
      v1::Queue& queue = by_path[path];
      queue.set_project(path);
      AddUse(queue, amounts);
      if (path != own) continue;
      if (num_active > 0) {
        queue.set_running_jobs(queue.running_jobs() + 1);
      } else {
        queue.set_pending_jobs(queue.pending_jobs() + 1);
      }
    }
  }
  std::vector<v1::Queue> result;
  for (auto& [path, queue] : by_path) {
    FillOldFields(queue);
    result.push_back(std::move(queue));
  }
  return result;
}

}  // namespace oneai::fabric
