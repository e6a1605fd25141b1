// File: compute_fabric/simulation/sim_clock.h
//
// A machine's wall clock: virtual time, off by what somebody set it to.
#pragma once

#include "base/clock.h"
#include "compute_fabric/simulation/simulator.h"

namespace oneai::fabric::simulation {

class SimClock final : public Clock {
 public:
  explicit SimClock(const Simulator* simulator) : simulator_(simulator) {}
  absl::Time Now() const override { return simulator_->Now() + offset_; }
  void Jump(absl::Duration by) { offset_ += by; }
  absl::Duration offset() const { return offset_; }

 private:
  const Simulator* const simulator_;
  absl::Duration offset_ = absl::ZeroDuration();
};

}  // namespace oneai::fabric::simulation
