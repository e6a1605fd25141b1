// A deterministic stand-in for a model. It keeps the tokens in its "KV cache" and computes from
// what it reads back through the block table, so a wrong block, position or stale entry changes the
// answer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
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
  bool draft_head = false;      // that guesses right whenever it has read every position
  // The draft head's guess, instead of a right one.
  std::function<int32_t(const std::vector<int32_t>& context)> wrong_guess;
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
inline constexpr int32_t kNanToken = 252;     // the logits after it are NaN

class FakeRunner final : public ModelRunner {
 public:
  explicit FakeRunner(FakeRunnerOptions options, StepGate* gate = nullptr)
      : options_(std::move(options)),
        gate_(gate),
        cache_(options_.num_blocks * options_.block_tokens, -1),
        draft_cache_(cache_.size(), -1),
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
      }
      AdvanceState(chunk);
      const int64_t end = chunk.start + static_cast<int64_t>(chunk.token_ids.size());
      for (int64_t e = end - chunk.num_logit_rows + 1; e <= end; ++e) {
        AppendRow(Context(chunk, e), options_.next, chunk.adapter, output.logits);
      }
      for (int64_t e = end - chunk.num_hidden_rows + 1; e <= end; ++e) {
        const std::vector<int32_t> context = Context(chunk, e);
        output.hidden.push_back(static_cast<float>(context.size()));
        output.hidden.push_back(static_cast<float>(options_.next(context)));
      }
    }
    return absl::OkStatus();
  }

  bool has_draft_head() const override { return options_.draft_head; }
  // Guesses from what it was shown of the sequence, and from nothing else.
  absl::Status Draft(absl::Span<const RunnerDraft> drafts, RunnerOutput& output) override {
    output.logits.clear();
    output.hidden.clear();
    for (const RunnerDraft& draft : drafts) {
      const auto count = static_cast<int64_t>(draft.next_tokens.size());
      if (draft.hidden.size() != draft.next_tokens.size() * 2) throw std::logic_error("hidden");
      for (int64_t i = 0; i < count; ++i) {
        const int64_t position = draft.start + i;
        if (draft.hidden[2 * i] != static_cast<float>(position + 1)) {
          throw std::logic_error("the hidden state is another position's");
        }
        draft_cache_.at(SlotOf(draft.block_table, position)) = draft.next_tokens[i];
        if (count - i > draft.num_logit_rows) continue;
        std::vector<int32_t> context = {cache_.at(SlotOf(draft.block_table, 0))};
        for (int64_t p = 0; p <= position; ++p) {
          context.push_back(draft_cache_.at(SlotOf(draft.block_table, p)));
        }
        AppendRow(context, options_.wrong_guess ? options_.wrong_guess : options_.next, -1,
                  output.logits);
        output.hidden.push_back(static_cast<float>(position + 2));
        output.hidden.push_back(0);
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
  int64_t SlotOf(absl::Span<const int32_t> block_table, int64_t position) const {
    return int64_t{block_table.at(position / options_.block_tokens)} * options_.block_tokens +
           position % options_.block_tokens;
  }
  int64_t Slot(const RunnerChunk& chunk, int64_t position) const {
    return SlotOf(chunk.block_table, position);
  }

  std::vector<int32_t> Context(const RunnerChunk& chunk, int64_t end) const {
    if (options_.num_state_slots > 0) {  // what a recurrent layer would remember
      const std::vector<int32_t>& state = states_.at(chunk.state_slot);
      return {state.begin(), state.begin() + end};
    }
    std::vector<int32_t> context;
    for (int64_t p = 0; p < end; ++p) context.push_back(cache_.at(Slot(chunk, p)));
    return context;
  }
  void AdvanceState(const RunnerChunk& chunk) {
    if (options_.num_state_slots == 0) return;
    std::vector<int32_t>& state = states_.at(chunk.state_slot);
    if (chunk.start == 0) state.clear();
    const auto num_tokens = static_cast<int64_t>(chunk.token_ids.size());
    const auto num_snapshots = static_cast<int64_t>(chunk.state_snapshots.size());
    for (int64_t i = 0; i < num_tokens; ++i) {
      for (const RunnerCheckpoint& c : chunk.state_checkpoints) {
        if (c.num_tokens == i) states_.at(c.slot) = state;
      }
      if (num_tokens - i <= num_snapshots) {
        states_.at(chunk.state_snapshots[num_snapshots - (num_tokens - i)]) = state;
      }
      state.push_back(chunk.token_ids[i]);
    }
  }
  void AppendRow(const std::vector<int32_t>& context,
                 const std::function<int32_t(const std::vector<int32_t>&)>& next, int32_t adapter,
                 std::vector<float>& logits) const {
    logits.resize(logits.size() + options_.vocab_size, 0.0f);
    float* const row = logits.data() + logits.size() - options_.vocab_size;
    row[next(context)] = 10.0f;
    if (adapter >= 0) row['A' + adapter] = 20.0f;
    for (int32_t id : {kPoisonToken, kThrowToken, kNanToken}) row[id] = -1e9f;  // never sampled
    if (!context.empty() && context.back() == kNanToken) {
      std::fill_n(row, options_.vocab_size, std::numeric_limits<float>::quiet_NaN());
    }
  }

  FakeRunnerOptions options_;
  StepGate* const gate_;
  std::vector<int32_t> cache_, draft_cache_;  // of the model and of its draft head
  std::vector<std::vector<int32_t>> states_;
  int32_t num_adapters_ = 0;
  int64_t num_computed_ = 0;
};

}  // namespace oneai::serving
