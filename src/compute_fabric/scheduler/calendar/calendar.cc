#include "compute_fabric/scheduler/calendar/calendar.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

bool IsFor(const NodeHold& hold, const JobView& job) {
  return !hold.reservation.empty() && hold.reservation == job.reservation;
}

std::string DescribeHold(const NodeHold& hold, absl::Time now) {
  const std::string what = hold.reason.empty() ? "held" : hold.reason;
  if (hold.start <= now) return absl::StrCat(what, ", until ", FormatInstant(hold.end));
  return absl::StrCat(what, ", from ", FormatInstant(hold.start), " to ", FormatInstant(hold.end));
}

// Whether the job, started now, is off the node when `hold` (not yet begun) begins.
bool EndsBefore(const NodeHold& hold, const JobView& job, absl::Time now) {
  if (job.time_limit == absl::InfiniteDuration()) return job.preemptible;
  return now + job.time_limit <= hold.start;
}

}  // namespace

std::string FormatInstant(absl::Time time) {
  if (time == absl::InfiniteFuture()) return "further notice";
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone());
}

bool MayUse(const NodeSpec& node, const JobView& job, absl::Time now, std::string* why_not) {
  bool held_for_job = false;
  for (const NodeHold& hold : node.holds) {
    if (hold.end <= now || hold.end <= hold.start) continue;
    if (IsFor(hold, job)) {
      held_for_job = held_for_job || hold.start <= now;
      continue;
    }
    if (hold.start <= now) {
      if (why_not != nullptr) *why_not = DescribeHold(hold, now);
      return false;
    }
    if (EndsBefore(hold, job, now)) continue;
    if (why_not != nullptr) {
      *why_not = absl::StrCat(
          DescribeHold(hold, now), ": ",
          job.time_limit == absl::InfiniteDuration()
              ? "the job has no time limit and cannot be preempted"
              : absl::StrCat("the job's limit of ", absl::FormatDuration(job.time_limit),
                             " would reach into it"));
    }
    return false;
  }
  if (job.reservation.empty() || held_for_job) return true;
  if (why_not != nullptr) {
    *why_not = absl::StrCat("not held for reservation ", job.reservation, " at present");
  }
  return false;
}

absl::Time NextHoldChange(const std::vector<NodeHold>& holds, absl::Time now) {
  absl::Time next = absl::InfiniteFuture();
  for (const NodeHold& hold : holds) {
    if (hold.start > now) next = std::min(next, hold.start);
    if (hold.end > now) next = std::min(next, hold.end);
  }
  return next;
}

}  // namespace oneai::fabric
