#include "serving/engine/cpu_model_runner.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/ops/rope_frequencies.h"
#include "models/runtime/paged_kv_cache.h"
#include "models/runtime/recurrent_state.h"

namespace oneai::serving {
namespace {

class CpuModelRunner final : public ModelRunner {
 public:
  CpuModelRunner(std::unique_ptr<models::CpuModel> model, models::PagedKvCache cache,
                 std::optional<models::RecurrentState> state)
      : model_(std::move(model)), cache_(std::move(cache)), state_(std::move(state)) {}

  int64_t vocab_size() const override { return model_->config().vocab_size; }
  int64_t output_dim() const override { return model_->output_dim(); }
  bool generates_text() const override {
    return model_->config().head == models::ModelHead::kCausalLm;
  }
  int64_t hidden_size() const override { return model_->config().hidden_size; }
  int64_t num_blocks() const override { return cache_.num_blocks(); }
  int64_t block_tokens() const override { return cache_.block_tokens(); }

  int64_t num_state_slots() const override { return state_.has_value() ? state_->num_slots() : 0; }
  uint64_t PrefixSalt(int64_t prompt_tokens) const override {
    const models::ModelConfig& config = model_->config();
    if (!config.rope.dynamic_ntk) return 0;
    return static_cast<uint64_t>(models::NtkAlpha(prompt_tokens, config.trained_positions));
  }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, RunnerOutput& output) override {
    step_.clear();
    checkpoints_.clear();
    for (const RunnerChunk& chunk : chunks) {
      for (const RunnerCheckpoint& c : chunk.state_checkpoints) {
        checkpoints_.push_back({c.num_tokens, c.slot});
      }
    }
    size_t num_checkpoints = 0;
    for (const RunnerChunk& chunk : chunks) {
      models::SequenceChunk& next = step_.emplace_back();
      next.tokens = chunk.token_ids;
      next.start_position = chunk.start;
      next.block_table = chunk.block_table;
      next.num_logit_rows = chunk.num_logit_rows;
      next.prompt_tokens = chunk.prompt_tokens;
      next.adapter = chunk.adapter;
      next.state_slot = chunk.state_slot;
      next.state_snapshots = chunk.state_snapshots;
      next.state_checkpoints = absl::MakeConstSpan(checkpoints_)
                                   .subspan(num_checkpoints, chunk.state_checkpoints.size());
      num_checkpoints += chunk.state_checkpoints.size();
      next.num_hidden_rows = chunk.num_hidden_rows;
    }
    output_.logits.swap(output.logits);  // keeps the caller's capacity
    output_.hidden.swap(output.hidden);
    const absl::Status status =
        model_->Step(step_, {cache_, state_.has_value() ? &*state_ : nullptr}, output_);
    output_.logits.swap(output.logits);
    output_.hidden.swap(output.hidden);
    return status;
  }

  bool has_draft_head() const override { return model_->has_draft_head(); }
  absl::Status Draft(absl::Span<const RunnerDraft> drafts, RunnerOutput& output) override {
    drafts_.clear();
    for (const RunnerDraft& draft : drafts) {
      drafts_.push_back({.next_tokens = draft.next_tokens,
                         .hidden = draft.hidden,
                         .start_position = draft.start,
                         .block_table = draft.block_table,
                         .num_logit_rows = draft.num_logit_rows});
    }
    output_.logits.swap(output.logits);
    output_.hidden.swap(output.hidden);
    const absl::Status status = model_->Draft(drafts_, cache_, output_);
    output_.logits.swap(output.logits);
    output_.hidden.swap(output.hidden);
    return status;
  }

  kernels::ThreadPool* threads() override { return &model_->threads(); }
  void CopyBlock(int32_t from, int32_t to) override {
    const absl::Span<std::byte> source = cache_.Block(from);
    std::copy(source.begin(), source.end(), cache_.Block(to).begin());
  }
  void CopyState(int32_t from, int32_t to) override { state_->Copy(from, to); }
  absl::Span<std::byte> BlockBytes(int32_t block) override { return cache_.Block(block); }
  absl::StatusOr<int32_t> LoadAdapter(const std::filesystem::path& folder) override {
    return model_->adapters().Load(folder);
  }
  absl::Status UnloadAdapter(int32_t adapter) override {
    return model_->adapters().Unload(adapter);
  }

 private:
  const std::unique_ptr<models::CpuModel> model_;
  models::PagedKvCache cache_;
  std::optional<models::RecurrentState> state_;  // of models with recurrent layers
  std::vector<models::SequenceChunk> step_;
  std::vector<models::StateCheckpoint> checkpoints_;  // of all chunks of the step
  std::vector<models::DraftChunk> drafts_;
  models::StepOutput output_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRunner>> NewCpuModelRunner(
    std::unique_ptr<models::CpuModel> model, const CpuRunnerOptions& options) {
  const models::ModelConfig& config = model->config();
  const int64_t block_bytes =
      models::PagedKvCache::BlockBytes(config, kBlockTokens, options.kv_cache);
  const int64_t num_blocks = options.kv_cache_bytes / block_bytes;
  if (num_blocks < 1) {
    return absl::InvalidArgumentError(absl::StrCat("kv_cache_bytes is ", options.kv_cache_bytes,
                                                   "; one block of ", kBlockTokens,
                                                   " tokens of this model takes ", block_bytes));
  }
  ASSIGN_OR_RETURN(
      models::PagedKvCache cache,
      models::PagedKvCache::Create(config, num_blocks, kBlockTokens, options.kv_cache));
  std::optional<models::RecurrentState> state;
  if (const int64_t slot_bytes = models::RecurrentState::SlotBytes(config); slot_bytes > 0) {
    ASSIGN_OR_RETURN(state,
                     models::RecurrentState::Create(
                         config, options.max_sequences + options.spare_state_bytes / slot_bytes));
  }
  return std::make_unique<CpuModelRunner>(std::move(model), std::move(cache), std::move(state));
}

}  // namespace oneai::serving
