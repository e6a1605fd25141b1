// File: compute_fabric/simulation/random.h
//
// The one source of chance in a simulation: equal seeds give equal sequences on every machine.
#pragma once

#include <cmath>
#include <cstdint>

#include "absl/time/time.h"

namespace oneai::fabric::simulation {

// SplitMix64 (Steele, Lea, Flood, OOPSLA'14). Thread-compatible.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  double Fraction() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }  // [0, 1)
  bool Chance(double probability) { return Fraction() < probability; }
  int64_t Between(int64_t low, int64_t high) {  // both included
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }
  absl::Duration Between(absl::Duration low, absl::Duration high) {
    return low + absl::Nanoseconds(
                     static_cast<int64_t>(absl::ToInt64Nanoseconds(high - low) * Fraction()));
  }
  // Of a Poisson process: the time to the next arrival.
  absl::Duration Exponential(absl::Duration mean) {
    return absl::Nanoseconds(
        static_cast<int64_t>(-std::log(1 - Fraction()) * absl::ToDoubleNanoseconds(mean)));
  }
  template <typename Container>
  auto& Pick(Container& items) {
    return items[Next() % items.size()];
  }

 private:
  uint64_t state_;
};

}  // namespace oneai::fabric::simulation
