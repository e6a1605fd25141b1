#include "compute_fabric/first_scheduler/order_jobs.h"

#include <algorithm>
#include <tuple>

namespace oneai::fabric::inline first {

std::vector<const PendingJob*> OrderJobs(const std::vector<PendingJob>& jobs) {
  std::vector<const PendingJob*> order;
  order.reserve(jobs.size());
  for (const PendingJob& job : jobs) order.push_back(&job);
  std::sort(order.begin(), order.end(), [](const PendingJob* a, const PendingJob* b) {
    return std::make_tuple(-int64_t{a->priority}, a->submitted, std::cref(a->id)) <
           std::make_tuple(-int64_t{b->priority}, b->submitted, std::cref(b->id));
  });
  return order;
}

}  // namespace oneai::fabric::inline first
