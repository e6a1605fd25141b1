// A deterministic stand-in for a model. It keeps the tokens in its "KV cache" and computes from
// what it reads back through the block table, so a wrong block, position or stale entry changes the
// answer.
#pragma once

#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "serving/engine/model_runner.h"

namespace oneai::serving {

struct FakeRunnerOptions {
  int64_t vocab_size = 259;
  int64_t num_blocks = 64;
  int64_t block_tokens = 4;
  // The token that follows `context`. Default: a hash of it.
  std::function<int32_t(const std::vector<int32_t>& context)> next;
};

// How a test holds the engine between steps. Thread-safe.
class StepGate {
 public:
  void Pass() {
    absl::MutexLock lock(&mu_);
    ++num_arrived_;
    mu_.Await(absl::Condition(
        +[](StepGate* g)
             ABSL_NO_THREAD_SAFETY_ANALYSIS { return g->num_arrived_ <= g->num_allowed_; },
        this));
  }
  void Allow(int64_t num_steps) {
    absl::MutexLock lock(&mu_);
    num_allowed_ += num_steps;
  }
  // Returns when the engine stands before step `number` (from 1).
  void AwaitArrival(int64_t number) {
    absl::MutexLock lock(&mu_);
    awaited_ = number;
    mu_.Await(absl::Condition(
        +[](StepGate* g) ABSL_NO_THREAD_SAFETY_ANALYSIS { return g->num_arrived_ >= g->awaited_; },
        this));
  }

 private:
  absl::Mutex mu_;
  int64_t num_arrived_ = 0, num_allowed_ = 0, awaited_ = 0;
};

inline constexpr int32_t kPoisonToken = 250;  // a chunk with it fails
inline constexpr int32_t kThrowToken = 251;   // and with this one throws

class FakeRunner final : public ModelRunner {
 public:
  explicit FakeRunner(FakeRunnerOptions options, StepGate* gate = nullptr)
      : options_(std::move(options)),
        gate_(gate),
        cache_(options_.num_blocks * options_.block_tokens, -1) {
    if (!options_.next) {
      options_.next = [](const std::vector<int32_t>& context) {
        uint64_t h = 14695981039346656037u;
        for (int32_t id : context) h = (h ^ static_cast<uint64_t>(id)) * 1099511628211u;
        return static_cast<int32_t>('a' + (h >> 33) % 26);
      };
    }
  }
  int64_t vocab_size() const override { return options_.vocab_size; }
  int64_t num_blocks() const override { return options_.num_blocks; }
  int64_t block_tokens() const override { return options_.block_tokens; }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, std::vector<float>& logits) override {
    if (gate_ != nullptr) gate_->Pass();
    logits.clear();
    for (const RunnerChunk& chunk : chunks) {
      for (size_t i = 0; i < chunk.token_ids.size(); ++i) {
        if (chunk.token_ids[i] == kPoisonToken) return absl::InternalError("poison");
        if (chunk.token_ids[i] == kThrowToken) throw std::runtime_error("thrown poison");
        cache_.at(Slot(chunk, chunk.start + i)) = chunk.token_ids[i];
      }
      if (chunk.num_logit_rows == 0) continue;
      std::vector<int32_t> context;
      const int64_t end = chunk.start + static_cast<int64_t>(chunk.token_ids.size());
      for (int64_t p = 0; p < end; ++p) context.push_back(cache_.at(Slot(chunk, p)));
      logits.resize(logits.size() + options_.vocab_size, 0.0f);
      logits[logits.size() - options_.vocab_size + options_.next(context)] = 10.0f;
      for (int32_t id : {kPoisonToken, kThrowToken}) {
        logits[logits.size() - options_.vocab_size + id] = -1e9f;  // never sampled
      }
    }
    return absl::OkStatus();
  }

 private:
  int64_t Slot(const RunnerChunk& chunk, int64_t position) const {
    return int64_t{chunk.block_table.at(position / options_.block_tokens)} * options_.block_tokens +
           position % options_.block_tokens;
  }

  FakeRunnerOptions options_;
  StepGate* const gate_;
  std::vector<int32_t> cache_;
};

}  // namespace oneai::serving
