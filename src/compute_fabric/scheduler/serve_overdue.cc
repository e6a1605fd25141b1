// Before the queues take their turns: jobs that have waited for policy.overdue_after. Fair shares
// alone would let the jobs of a queue that uses much wait for as long as others have any.
#include <algorithm>

#include "compute_fabric/scheduler/pass.h"

namespace oneai::fabric {
namespace {

// Looked at per queue, and tried, a pass: each try may cost a search for a planned start.
constexpr int kLookedAtMax = 64;
constexpr size_t kTriedMax = 8;

}  // namespace

// The front of each queue's line: jobs of the highest priority that waits there whose place in line
// has come; those among them that are overdue, of all queues, in line with each other.
void Pass::ServeOverdue() {
  if (policy_.overdue_after == absl::InfiniteDuration() ||
      policy_.head_of_line == HeadOfLine::kBlock) {
    return;
  }
  std::vector<const JobView*> overdue;
  for (const std::string& queue : state_.jobs.QueuesWithWaiting()) {
    int num_seen = 0;
    int priority = 0;
    state_.jobs.VisitWaiting(queue, [&](const JobView& job) {
      if (num_seen == 0) priority = job.priority;
      if (++num_seen > kLookedAtMax || job.priority < priority) return false;
      if (job.submitted + job.line_delay > now_ && !job.returning) return false;
      if (now_ - job.submitted >= policy_.overdue_after) overdue.push_back(&job);
      return true;
    });
  }
  std::sort(overdue.begin(), overdue.end(),
            [](const JobView* a, const JobView* b) { return WaitsBefore(*a, *b); });
  absl::flat_hash_set<JobClass> failed;
  for (const JobView* job : overdue) {
    if (overdue_.size() == kTriedMax) return;
    if (promises_.Has(job->id) || IsRefusedLikeOthers(*job)) continue;
    if (!failed.empty() && failed.contains(state_.jobs.ClassOf(*job))) continue;
    overdue_.insert(job->id);
    ++result_.num_considered;
    const PlaceOutcome::Blocker blocker = Place(*job);
    if (blocker == PlaceOutcome::Blocker::kNone) continue;
    // While planned starts are given out, each of them gets its own.
    if (window_.num_reserved() >= policy_.reservations_max) {
      failed.insert(state_.jobs.ClassOf(*job));
    }
    Wait(*job, blocker);
  }
}

}  // namespace oneai::fabric
