#include "compute_fabric/scheduler/quota_victims.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace oneai::fabric {
namespace {

bool IsAtOrBelow(absl::string_view queue, absl::string_view top) {
  return top.empty() || queue == top ||
         (absl::StartsWith(queue, top) && queue.size() > top.size() && queue[top.size()] == '/');
}

// What the job holds of one resource, without adding up the others.
int64_t HeldOf(const JobView& job, const std::string& resource) {
  const auto num_tasks = static_cast<int64_t>(job.placed.size());
  if (resource == kCpu) return num_tasks * job.shape.cpu_milli;
  if (resource == kMemory) return num_tasks * job.shape.memory_bytes;
  int64_t milli = 0;
  for (const TaskPlacement& task : job.placed) {
    if (task.device && task.device->kind == resource) milli += task.device->total_milli();
  }
  return milli;
}

// The cheapest for what it gives of what lacks; -1: nobody.
int32_t Cheapest(const TrialRequest& request, const std::vector<char>& may_evict,
                 const QuotaShortfall& shortfall, const std::vector<int32_t>& chosen) {
  const VictimTable& table = *request.table;
  std::vector<char> below(table.queues.size());
  for (size_t q = 0; q < table.queues.size(); ++q) {
    below[q] = IsAtOrBelow(table.queues[q], shortfall.queue);
  }
  int32_t best = -1;
  double best_price = 0;
  for (size_t v = 0; v < table.victims.size(); ++v) {
    const Victim& victim = table.victims[v];
    if (!may_evict[v] || !below[victim.queue]) continue;
    const auto index = static_cast<int32_t>(v);
    if (std::find(chosen.begin(), chosen.end(), index) != chosen.end()) continue;
    const JobView& owner = *victim.job;
    const int64_t held = HeldOf(owner, shortfall.resource);
    if (held <= 0) continue;
    const double price = victim.cost / static_cast<double>(std::min(held, shortfall.missing));
    if (best >= 0 && price >= best_price) continue;
    if (owner.queue != request.job->queue &&
        !request.state->queues.MayReclaim(request.job->queue, request.needs, owner.queue,
                                          HeldBy(table, index))) {
      continue;
    }
    best = index;
    best_price = price;
  }
  return best;
}

}  // namespace

std::optional<std::vector<int32_t>> FindQuotaVictims(const TrialRequest& request,
                                                     const std::vector<char>& may_evict,
                                                     int64_t victims_max) {
  QueueTree& queues = request.state->queues;
  std::vector<int32_t> chosen;
  bool admitted = false;
  for (;;) {
    const Admission admission = queues.Admit(request.job->queue, request.needs);
    admitted = admission.admitted;
    if (admitted || !admission.admitted_when_idle) break;
    if (static_cast<int64_t>(chosen.size()) >= victims_max) break;
    const int32_t victim = Cheapest(request, may_evict, admission.shortfalls.front(), chosen);
    if (victim < 0) break;
    chosen.push_back(victim);
    queues.Charge(request.table->victims[victim].job->queue, HeldBy(*request.table, victim), -1);
  }
  for (const int32_t victim : chosen) {
    queues.Charge(request.table->victims[victim].job->queue, HeldBy(*request.table, victim));
  }
  if (!admitted) return std::nullopt;
  return chosen;
}

}  // namespace oneai::fabric
