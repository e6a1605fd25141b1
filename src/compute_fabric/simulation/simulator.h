// File: compute_fabric/simulation/simulator.h
//
// Virtual time and everything that happens in it, on one thread: a queue of events, and fibers for
// code that waits.
//
//   event at its time -> runs, or resumes a fiber -> which may Sleep -> next event
//
// Code under test that waits (a commit to a slow disk) runs in a fiber: Sleep gives the thread back
// and other fibers go on meanwhile, exactly as threads would interleave there, but in an order that
// the seed alone decides. A fiber must not hold a lock when it sleeps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/simulation/random.h"
#include "compute_fabric/simulation/trace.h"

namespace oneai::fabric::simulation {

// Something that can be killed or suspended with all of its fibers: a process.
class Process {
 public:
  virtual ~Process() = default;
  bool alive() const { return alive_; }
  // Called after each stretch of one of its fibers, while alive.
  virtual void AfterFiber() {}

 private:
  friend class Simulator;
  bool alive_ = true;
  absl::Time paused_until_ = absl::InfinitePast();
};

// Thread-compatible: all of a simulation happens on the thread that calls Run.
class Simulator {
 public:
  explicit Simulator(uint64_t seed);
  ~Simulator();

  absl::Time Now() const { return now_; }
  Random& random() { return random_; }
  Trace& trace() { return trace_; }

  // Runs `action` after `delay`, in the order of time, then of the calls.
  void After(absl::Duration delay, std::function<void()> action);
  // Runs `action` at the arrivals of a Poisson process, `mean` apart, until then. An infinite mean:
  // never.
  void Repeat(absl::Duration mean, absl::Time until, std::function<void()> action);
  // Runs `body` in a fiber of `owner`, soon; later when it is suspended, never when it is dead.
  // Fibers of dead owners are run to their end: whatever they wait for fails at once.
  void Spawn(Process* owner, std::function<void()> body);
  bool InFiber() const { return running_ != nullptr; }
  // In a fiber: its process still lives.
  bool OwnerLives() const;
  // In a fiber: lets `delay` pass. Returns at once when the owner is dead.
  void Sleep(absl::Duration delay);

  // Suspends the process (SIGSTOP, a long garbage collection, a stalled virtual machine).
  void Pause(Process* process, absl::Duration how_long);
  bool IsPaused(const Process& process) const { return process.paused_until_ > now_; }
  absl::Time paused_until(const Process& process) const { return process.paused_until_; }
  // kill -9: its fibers are run to their end with everything failing. Not from a fiber.
  void Kill(Process* process);

  // Processes events until none is left before `end` or Stop is called.
  void RunUntil(absl::Time end);
  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }
  int64_t num_events() const { return num_events_; }

 private:
  struct Event {
    absl::Time time;
    uint64_t sequence;
    std::function<void()> action;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };
  struct Fiber;
  void ResumeWhenAwake(uint64_t fiber_id);
  void Resume(Fiber* fiber);
  Fiber* Find(uint64_t fiber_id);
  static void Enter(unsigned low, unsigned high);

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  Random random_;
  Trace trace_;
  uint64_t next_sequence_ = 0;
  uint64_t next_fiber_ = 0;
  int64_t num_events_ = 0;
  bool stopped_ = false;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  std::vector<std::unique_ptr<Fiber>> fibers_;   // by id
  std::vector<std::unique_ptr<char[]>> stacks_;  // free ones
  Fiber* running_ = nullptr;
};

}  // namespace oneai::fabric::simulation
