#include "base/store/lease_timer.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace oneai {
namespace {

std::chrono::steady_clock::time_point After(absl::Duration duration) {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(duration);
}

}  // namespace

LeaseTimer::LeaseTimer(std::function<bool(int64_t)> on_expired)
    : on_expired_(std::move(on_expired)), thread_([this] { Run(); }) {}

void LeaseTimer::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void LeaseTimer::Add(int64_t lease_id, absl::Duration ttl) {
  absl::MutexLock lock(&mu_);
  leases_[lease_id] = Lease{ttl, After(ttl)};
  changed_.SignalAll();
}

bool LeaseTimer::Renew(int64_t lease_id) {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease_id);
  if (it == leases_.end() || it->second.ended) return false;
  it->second.deadline = After(it->second.ttl);
  return true;
}

bool LeaseTimer::Remove(int64_t lease_id) {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease_id);
  if (it == leases_.end() || it->second.ended) return false;
  leases_.erase(it);
  return true;
}

bool LeaseTimer::Lives(int64_t lease_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease_id);
  return it != leases_.end() && !it->second.ended;
}

void LeaseTimer::Run() {
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    const auto next = std::min_element(
        leases_.begin(), leases_.end(),
        [](const auto& a, const auto& b) { return a.second.deadline < b.second.deadline; });
    if (next == leases_.end()) {
      changed_.Wait(&mu_);
      continue;
    }
    const auto now = std::chrono::steady_clock::now();
    if (next->second.deadline > now) {
      // Renewals only move deadlines back, so waking at the one known now is early at worst.
      changed_.WaitWithTimeout(&mu_, absl::FromChrono(next->second.deadline - now));
      continue;
    }
    const int64_t lease_id = next->first;
    next->second.ended = true;
    next->second.deadline = After(absl::Seconds(1));
    mu_.Unlock();
    const bool done = on_expired_(lease_id);
    mu_.Lock();
    if (done) leases_.erase(lease_id);
  }
}

}  // namespace oneai
