// A deterministic stand-in for a model. It keeps the tokens in its "KV cache" and computes from
// what it reads back through the block table, so a wrong block, position or stale entry changes the
// answer.
#pragma once

#include <algorithm>
#include <cstddef>
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
  int64_t num_state_slots = 0;  // > 0: as a model with recurrent layers
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
        cache_(options_.num_blocks * options_.block_tokens, -1),
        states_(options_.num_state_slots) {
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

  int64_t hidden_size() const override { return 2; }
  int64_t num_state_slots() const override { return options_.num_state_slots; }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, RunnerOutput& output) override {
    if (gate_ != nullptr) gate_->Pass();
    output.logits.clear();
    output.hidden.clear();
    for (const RunnerChunk& chunk : chunks) {
      num_computed_ += static_cast<int64_t>(chunk.token_ids.size());
      for (size_t i = 0; i < chunk.token_ids.size(); ++i) {
        if (chunk.token_ids[i] == kPoisonToken) return absl::InternalError("poison");
        if (chunk.token_ids[i] == kThrowToken) throw std::runtime_error("thrown poison");
        cache_.at(Slot(chunk, chunk.start + i)) = chunk.token_ids[i];
        AdvanceState(chunk, i);
      }
      const int64_t end = chunk.start + static_cast<int64_t>(chunk.token_ids.size());
      for (int64_t e = end - chunk.num_logit_rows + 1; e <= end; ++e) {
        AppendRow(Context(chunk, e), chunk.adapter, output.logits);
      }
      if (chunk.wants_hidden) {
        const std::vector<int32_t> context = Context(chunk, end);
        output.hidden.push_back(static_cast<float>(context.size()));
        output.hidden.push_back(static_cast<float>(options_.next(context)));
      }
    }
    return absl::OkStatus();
  }
  void CopyBlock(int32_t from, int32_t to) override {
    const absl::Span<std::byte> source = BlockBytes(from);
    std::copy(source.begin(), source.end(), BlockBytes(to).begin());
  }
  void CopyState(int32_t from, int32_t to) override { states_.at(to) = states_.at(from); }
  absl::Span<std::byte> BlockBytes(int32_t block) override {
    const size_t num_bytes = options_.block_tokens * sizeof(int32_t);
    return {reinterpret_cast<std::byte*>(cache_.data()) + block * num_bytes, num_bytes};
  }
  absl::StatusOr<int32_t> LoadAdapter(const std::filesystem::path& folder) override {
    if (folder.empty()) return absl::NotFoundError("no such adapter");
    return num_adapters_++;
  }
  absl::Status UnloadAdapter(int32_t) override { return absl::OkStatus(); }
  // Tokens computed since the start. Read it while the engine is idle.
  int64_t num_computed() const { return num_computed_; }

 private:
  int64_t Slot(const RunnerChunk& chunk, int64_t position) const {
    return int64_t{chunk.block_table.at(position / options_.block_tokens)} * options_.block_tokens +
           position % options_.block_tokens;
  }

  std::vector<int32_t> Context(const RunnerChunk& chunk, int64_t end) const {
    if (options_.num_state_slots > 0 &&
        end == static_cast<int64_t>(chunk.start) + static_cast<int64_t>(chunk.token_ids.size())) {
      return states_.at(chunk.state_slot);  // what a recurrent layer would remember
    }
    std::vector<int32_t> context;
    for (int64_t p = 0; p < end; ++p) context.push_back(cache_.at(Slot(chunk, p)));
    return context;
  }
  void AdvanceState(const RunnerChunk& chunk, size_t i) {
    if (options_.num_state_slots == 0) return;
    std::vector<int32_t>& state = states_.at(chunk.state_slot);
    if (chunk.start == 0 && i == 0) state.clear();
    state.push_back(chunk.token_ids[i]);
  }
  void AppendRow(const std::vector<int32_t>& context, int32_t adapter,
                 std::vector<float>& logits) const {
    logits.resize(logits.size() + options_.vocab_size, 0.0f);
    float* const row = logits.data() + logits.size() - options_.vocab_size;
    row[options_.next(context)] = 10.0f;
    if (adapter >= 0) row['A' + adapter] = 20.0f;
    for (int32_t id : {kPoisonToken, kThrowToken}) row[id] = -1e9f;  // never sampled
  }

  FakeRunnerOptions options_;
  StepGate* const gate_;
  std::vector<int32_t> cache_;
  std::vector<std::vector<int32_t>> states_;
  int32_t num_adapters_ = 0;
  int64_t num_computed_ = 0;
};

}  // namespace oneai::serving
