#include "compute_fabric/controller/past_use.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_usage.h"

namespace oneai::fabric {
namespace {

// Half-lives after which use counts for nothing: a thousandth is left.
constexpr int kHalfLivesMax = 10;

// From the unit of usage records (core-, GiB-, device-seconds) to that of the tree's amounts.
double AmountOf(const std::string& resource) {
  return resource == kMemory ? static_cast<double>(int64_t{1} << 30) : 1000;
}

using DayUse = std::map<std::string, std::map<std::string, double>>;  // queue, resource: seconds

std::map<absl::CivilDay, DayUse> UseByDay(const std::vector<JobRecord>& jobs, absl::Time since,
                                          absl::Time now) {
  std::map<absl::CivilDay, DayUse> days;
  const absl::CivilDay first = absl::ToCivilDay(since, absl::UTCTimeZone());
  const absl::CivilDay last = absl::ToCivilDay(now, absl::UTCTimeZone());
  const auto add = [&](const v1::Job& job, const v1::JobUsage& usage) {
    absl::CivilDay day;
    if (!absl::ParseCivilTime(usage.day(), &day) || day < first || day > last) return;
    days[day][QueueOf(job.spec())][usage.resource()] += usage.seconds();
  };
  for (const JobRecord& job : jobs) {
    for (const v1::JobUsage& usage : job.value->usage()) add(*job.value, usage);
    for (const v1::Task& task : job.value->tasks()) {
      if (!IsActive(task.state())) continue;
      for (const v1::JobUsage& usage : UsageOf(job.value->spec(), task, now, {}))
        add(*job.value, usage);
    }
  }
  return days;
}

}  // namespace

void ReplayPastUse(QueueTree& tree, const std::vector<JobRecord>& jobs, absl::Duration half_life,
                   absl::Time now) {
  if (half_life <= absl::ZeroDuration() || half_life == absl::InfiniteDuration()) return;
  const absl::TimeZone utc = absl::UTCTimeZone();
  for (const auto& [day, queues] : UseByDay(jobs, now - kHalfLivesMax * half_life, now)) {
    const absl::Time begin = absl::FromCivil(day, utc);
    const absl::Time end = std::min(absl::FromCivil(day + 1, utc), now);
    if (end <= begin) continue;
    tree.Decay(begin, half_life);
    std::map<std::string, Amounts> held;
    for (const auto& [queue, resources] : queues) {
      for (const auto& [resource, seconds] : resources) {
        held[queue][resource] =
            std::llround(seconds * AmountOf(resource) / absl::ToDoubleSeconds(end - begin));
      }
      tree.Charge(queue, held[queue]);
    }
    tree.Decay(end, half_life);
    for (const auto& [queue, amounts] : held) tree.Charge(queue, amounts, -1);
  }
  tree.Decay(now, half_life);
}

}  // namespace oneai::fabric
