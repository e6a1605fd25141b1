// File: compute_fabric/simulation/trace.h
//
// What happened, in words, one line an event: kept for the reader of a failing seed, hashed so that
// two runs of a seed can be compared.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace oneai::fabric::simulation {

// Thread-compatible.
class Trace {
 public:
  explicit Trace(const absl::Time* now) : now_(now), start_(*now) {}

  // `who` is an actor ("controller-1", "node-3", "world"); the rest is concatenated.
  template <typename... Parts>
  void Add(absl::string_view who, const Parts&... parts) {
    Write(who, absl::StrCat(parts...));
  }

  // Also writes each line to stdout at once.
  void set_live(bool live) { live_ = live; }
  uint64_t hash() const { return hash_; }
  // The newest lines that contain one of `words` (empty: all), at most `limit`, oldest first.
  std::string Tail(const std::vector<std::string>& words, size_t limit) const;

 private:
  static constexpr size_t kLinesMax = 20'000;
  void Write(absl::string_view who, std::string text);

  const absl::Time* const now_;
  const absl::Time start_;
  bool live_ = false;
  uint64_t hash_ = 1469598103934665603ull;
  std::deque<std::string> lines_;
};

}  // namespace oneai::fabric::simulation
