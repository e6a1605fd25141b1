#include "compute_fabric/simulation/simulator.h"

#include <ucontext.h>

#include <algorithm>
#include <utility>

namespace oneai::fabric::simulation {
namespace {

constexpr size_t kStackBytes = 512 << 10;

}  // namespace

struct Simulator::Fiber {
  uint64_t id;
  Process* owner;
  Simulator* simulator;
  std::function<void()> body;
  std::unique_ptr<char[]> stack;
  ucontext_t context;
  ucontext_t caller;
  bool ended = false;
};

Simulator::Simulator(uint64_t seed) : random_(seed), trace_(&now_) {}
Simulator::~Simulator() = default;

void Simulator::After(absl::Duration delay, std::function<void()> action) {
  events_.push({now_ + std::max(delay, absl::ZeroDuration()), next_sequence_++, std::move(action)});
}

// makecontext passes ints only.
void Simulator::Enter(unsigned low, unsigned high) {
  auto* fiber =
      reinterpret_cast<Fiber*>(static_cast<uintptr_t>(low) | (static_cast<uintptr_t>(high) << 32));
  fiber->body();
  fiber->ended = true;
  swapcontext(&fiber->context, &fiber->caller);
}

void Simulator::Repeat(absl::Duration mean, absl::Time until, std::function<void()> action) {
  if (mean == absl::InfiniteDuration()) return;
  const absl::Duration wait = random_.Exponential(mean);
  if (now_ + wait >= until) return;
  After(wait, [this, mean, until, action = std::move(action)] {
    action();
    Repeat(mean, until, action);
  });
}

void Simulator::Spawn(Process* owner, std::function<void()> body) {
  if (!owner->alive()) return;
  auto fiber = std::make_unique<Fiber>();
  fiber->id = next_fiber_++;
  fiber->owner = owner;
  fiber->simulator = this;
  fiber->body = std::move(body);
  if (stacks_.empty()) {
    fiber->stack.reset(new char[kStackBytes]);
  } else {
    fiber->stack = std::move(stacks_.back());
    stacks_.pop_back();
  }
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(fiber.get());
  makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Simulator::Enter), 2,
              static_cast<unsigned>(address & 0xffffffffu), static_cast<unsigned>(address >> 32));
  const uint64_t id = fiber->id;
  fibers_.push_back(std::move(fiber));
  After(absl::ZeroDuration(), [this, id] { ResumeWhenAwake(id); });
}

Simulator::Fiber* Simulator::Find(uint64_t fiber_id) {
  const auto it = std::lower_bound(fibers_.begin(), fibers_.end(), fiber_id,
                                   [](const auto& fiber, uint64_t id) { return fiber->id < id; });
  return it != fibers_.end() && (*it)->id == fiber_id ? it->get() : nullptr;
}

void Simulator::ResumeWhenAwake(uint64_t fiber_id) {
  Fiber* fiber = Find(fiber_id);
  if (fiber == nullptr) return;
  if (IsPaused(*fiber->owner)) {
    After(fiber->owner->paused_until_ - now_, [this, fiber_id] { ResumeWhenAwake(fiber_id); });
    return;
  }
  Resume(fiber);
}

void Simulator::Resume(Fiber* fiber) {
  const uint64_t id = fiber->id;
  Process* const owner = fiber->owner;
  running_ = fiber;
  swapcontext(&fiber->caller, &fiber->context);
  running_ = nullptr;
  if (fiber->ended) {
    stacks_.push_back(std::move(fiber->stack));
    const auto it = std::lower_bound(fibers_.begin(), fibers_.end(), id,
                                     [](const auto& f, uint64_t key) { return f->id < key; });
    fibers_.erase(it);
  }
  if (owner->alive()) owner->AfterFiber();
}

void Simulator::Sleep(absl::Duration delay) {
  Fiber* const fiber = running_;
  if (!fiber->owner->alive()) return;
  const uint64_t id = fiber->id;
  After(delay, [this, id] { ResumeWhenAwake(id); });
  swapcontext(&fiber->context, &fiber->caller);
}

bool Simulator::OwnerLives() const { return running_->owner->alive(); }

void Simulator::Pause(Process* process, absl::Duration how_long) {
  process->paused_until_ = std::max(process->paused_until_, now_ + how_long);
}

void Simulator::Kill(Process* process) {
  process->alive_ = false;
  process->paused_until_ = absl::InfinitePast();
  while (true) {
    const auto it = std::find_if(fibers_.begin(), fibers_.end(),
                                 [&](const auto& fiber) { return fiber->owner == process; });
    if (it == fibers_.end()) return;
    Resume(it->get());
  }
}

void Simulator::RunUntil(absl::Time end) {
  while (!stopped_ && !events_.empty() && events_.top().time <= end) {
    // The queue gives out const references only; the action is moved, the order is not touched.
    std::function<void()> action = std::move(const_cast<Event&>(events_.top()).action);
    now_ = events_.top().time;
    events_.pop();
    ++num_events_;
    action();
  }
  if (!stopped_) now_ = std::max(now_, end);
}

}  // namespace oneai::fabric::simulation
