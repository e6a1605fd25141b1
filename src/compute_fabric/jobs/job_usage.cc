#include "compute_fabric/jobs/job_usage.h"

#include <algorithm>

#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kSecondsPerHour = 3600;

// How much of each resource a task holds, in the unit that is priced.
std::map<std::string, double> Held(const v1::JobSpec& spec, const v1::Task& task) {
  std::map<std::string, double> held;
  held["cpu"] = static_cast<double>(spec.resources().cpu_milli()) / 1000;
  held["memory"] = static_cast<double>(spec.resources().memory_bytes()) / kGiB;
  if (task.has_device()) {
    double devices = 0;
    for (const v1::DeviceGrant& grant : task.grants()) devices += grant.milli() / 1000.0;
    held[task.device().kind()] = task.grants_size() > 0 ? devices : task.device().count();
  }
  return held;
}

const v1::Task* FindAttempt(const v1::Job& job, int rank, int attempt) {
  for (const v1::Task& task : job.tasks()) {
    if (task.rank() == rank && task.attempt() == attempt) return &task;
  }
  return nullptr;
}

}  // namespace

std::vector<v1::JobUsage> UsageOf(const v1::JobSpec& spec, const v1::Task& task, absl::Time end,
                                  const PricePerHour& prices) {
  std::vector<v1::JobUsage> usage;
  if (!task.has_started()) return usage;
  // Both times may come from the node's clock: never below nothing, never beyond now.
  if (task.has_ended()) end = std::min(end, GetTime(task.ended()));
  absl::Time from = GetTime(task.started());
  while (from < end) {
    const absl::TimeZone utc = absl::UTCTimeZone();
    const absl::CivilDay day = absl::ToCivilDay(from, utc);
    const absl::Time until = std::min(end, absl::FromCivil(day + 1, utc));
    const double seconds = absl::ToDoubleSeconds(until - from);
    for (const auto& [resource, amount] : Held(spec, task)) {
      if (amount <= 0) continue;
      const auto price = prices.find(resource);
      v1::JobUsage& record = usage.emplace_back();
      record.set_day(absl::FormatCivilTime(day));
      record.set_resource(resource);
      record.set_seconds(seconds * amount);
      record.set_cost(price == prices.end() ? 0
                                            : record.seconds() / kSecondsPerHour * price->second);
    }
    from = until;
  }
  return usage;
}

void AddUsage(google::protobuf::RepeatedPtrField<v1::JobUsage>& list, const v1::JobUsage& usage) {
  for (v1::JobUsage& known : list) {
    if (known.day() != usage.day() || known.resource() != usage.resource()) continue;
    known.set_seconds(known.seconds() + usage.seconds());
    known.set_cost(known.cost() + usage.cost());
    return;
  }
  *list.Add() = usage;
}

void AccountEndedTasks(const v1::Job& before, v1::Job& after, absl::Time now,
                       const PricePerHour& prices) {
  for (const v1::Task& held : before.tasks()) {
    if (!IsActive(held.state())) continue;
    const v1::Task* task = FindAttempt(after, held.rank(), held.attempt());
    if (task != nullptr && IsActive(task->state())) continue;
    for (const v1::JobUsage& usage :
         UsageOf(before.spec(), task == nullptr ? held : *task, now, prices))
      AddUsage(*after.mutable_usage(), usage);
  }
}

}  // namespace oneai::fabric
