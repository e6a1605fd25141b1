#include "base/http/worker_pool.h"

#include <utility>

namespace oneai {

std::shared_ptr<WorkerPool::Ticket> WorkerPool::Submit(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  // Withdrawn tickets leave the queue only when a thread meets them, so they count here: the bound
  // is on memory.
  if (stopping_ || queue_.size() >= 4 * static_cast<size_t>(num_threads_max_)) return nullptr;
  auto ticket = std::make_shared<Ticket>(std::move(work));
  queue_.push_back(ticket);
  if (static_cast<size_t>(num_idle_) < queue_.size() &&
      threads_.size() < static_cast<size_t>(num_threads_max_)) {
    threads_.emplace_back([this] { Run(); });
  }
  return ticket;
}

void WorkerPool::Stop() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void WorkerPool::Run() {
  absl::MutexLock lock(&mu_);
  while (true) {
    ++num_idle_;
    mu_.Await(absl::Condition(this, &WorkerPool::HasWork));
    --num_idle_;
    if (queue_.empty()) return;
    const std::shared_ptr<Ticket> ticket = std::move(queue_.front());
    queue_.pop_front();
    if (ticket->taken_.exchange(true)) continue;
    mu_.Unlock();
    ticket->work_();
    mu_.Lock();
  }
}

}  // namespace oneai
