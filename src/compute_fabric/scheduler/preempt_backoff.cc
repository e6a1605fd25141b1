#include "compute_fabric/scheduler/preempt_backoff.h"

#include <algorithm>

namespace oneai::fabric {
namespace {

constexpr absl::Duration kRoundPerJob = absl::Microseconds(250);
constexpr absl::Duration kWaitPerJob = absl::Microseconds(500);
constexpr int kDoublingsMax = 16;
// Entries of classes that died out go when there are this many.
constexpr size_t kEntriesMax = 4096;

}  // namespace

bool PreemptBackoff::MaySearch(absl::string_view queue, JobClass job_class, absl::Time now) const {
  const auto it = entries_.find(std::make_pair(std::string(queue), job_class));
  return it == entries_.end() || now >= it->second.again;
}

void PreemptBackoff::RoundBegun(int64_t num_running, absl::Time now) {
  next_round_ = now + num_running * kRoundPerJob;
}

void PreemptBackoff::Failed(absl::string_view queue, JobClass job_class, int64_t num_running,
                            absl::Time now) {
  if (entries_.size() >= kEntriesMax) {
    absl::erase_if(entries_, [&](const auto& entry) { return entry.second.again <= now; });
  }
  const absl::Duration first = num_running * kWaitPerJob;
  const auto [it, added] =
      entries_.try_emplace(std::make_pair(std::string(queue), job_class), Entry{now, first});
  if (!added) it->second.wait = std::min(2 * it->second.wait, kDoublingsMax * first);
  it->second.again = now + it->second.wait;
}

void PreemptBackoff::Succeeded(absl::string_view queue, JobClass job_class) {
  entries_.erase(std::make_pair(std::string(queue), job_class));
}

}  // namespace oneai::fabric
