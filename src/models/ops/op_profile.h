// File: models/ops/op_profile.h
//
// Where the time of steps goes, by kind of op. Off, a timer costs one branch.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "kernels/thread_pool/thread_pool.h"

namespace oneai::models {

// Products are named by their matrix; each includes rounding or quantising its input.
enum class OpKind {
  kEmbed,
  kNorm,
  kQkv,
  kRotate,  // norms of heads, rotary embedding, writing keys and values
  kAttention,
  kOut,
  kGateUp,
  kGate,  // of the MLP and of heads
  kDown,
  kRoute,     // router, grouping, gathering and adding experts' rows
  kDeltaNet,  // all but its projections
  kHead,
  kStep,  // a whole step; what the kinds above do not explain is bookkeeping
};
inline constexpr size_t kNumOpKinds = static_cast<size_t>(OpKind::kStep) + 1;

constexpr absl::string_view OpName(OpKind kind) {
  constexpr std::array<absl::string_view, kNumOpKinds> kNames = {
      "embed", "norms", "qkv",   "rotate + kv", "attention", "attention out", "gate + up",
      "gates", "down",  "route", "delta net",   "head",      "step"};
  return kNames[static_cast<size_t>(kind)];
}

// Thread-compatible, as the ops it belongs to.
class OpProfile {
 public:
  struct Entry {
    int64_t calls = 0;
    int64_t ns = 0;         // of the calling thread
    int64_t loop_ns = 0;    // of that, in parallel loops
    int64_t waited_ns = 0;  // of that, waiting for other threads at their ends
    int64_t num_loops = 0;
  };

  // From the next step on, counts steps of num_tokens_min to num_tokens_max tokens, from zero.
  void Start(int64_t num_tokens_min, int64_t num_tokens_max, kernels::ThreadPool& threads) {
    num_tokens_min_ = num_tokens_min, num_tokens_max_ = num_tokens_max;
    entries_ = {};
    threads.TimeLoops(true);
  }
  void Stop(kernels::ThreadPool& threads) {
    num_tokens_max_ = -1;
    threads.TimeLoops(false);
  }
  void BeginStep(int64_t num_tokens) {
    counts_ = num_tokens >= num_tokens_min_ && num_tokens <= num_tokens_max_;
  }
  // Whether the step that runs is counted.
  bool counts() const { return counts_; }
  const Entry& entry(OpKind kind) const { return entries_[static_cast<size_t>(kind)]; }
  Entry& entry(OpKind kind) { return entries_[static_cast<size_t>(kind)]; }

 private:
  int64_t num_tokens_min_ = 0, num_tokens_max_ = -1;
  bool counts_ = false;
  std::array<Entry, kNumOpKinds> entries_;
};

// Adds the time from its construction to its end to `kind`.
class OpTimer {
 public:
  OpTimer(OpProfile& profile, OpKind kind, const kernels::ThreadPool& threads)
      : profile_(profile.counts() ? &profile : nullptr), kind_(kind), threads_(threads) {
    if (profile_ != nullptr) loops_ = threads.loop_times(), start_ = Clock::now();
  }
  ~OpTimer() {
    if (profile_ == nullptr) return;
    OpProfile::Entry& entry = profile_->entry(kind_);
    const kernels::ThreadPool::LoopTimes& now = threads_.loop_times();
    ++entry.calls;
    entry.ns += std::chrono::nanoseconds(Clock::now() - start_).count();
    entry.loop_ns += now.wall_ns - loops_.wall_ns;
    entry.waited_ns += now.waited_ns - loops_.waited_ns;
    entry.num_loops += now.num_loops - loops_.num_loops;
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  OpProfile* const profile_;
  const OpKind kind_;
  const kernels::ThreadPool& threads_;
  kernels::ThreadPool::LoopTimes loops_;
  Clock::time_point start_;
};

}  // namespace oneai::models
