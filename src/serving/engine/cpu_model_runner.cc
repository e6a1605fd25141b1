#include "serving/engine/cpu_model_runner.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/runtime/paged_kv_cache.h"

namespace oneai::serving {
namespace {

class CpuModelRunner final : public ModelRunner {
 public:
  CpuModelRunner(std::unique_ptr<models::CpuModel> model, models::PagedKvCache cache)
      : model_(std::move(model)), cache_(std::move(cache)) {}

  int64_t vocab_size() const override { return model_->config().vocab_size; }
  int64_t output_dim() const override { return model_->output_dim(); }
  bool generates_text() const override {
    return model_->config().head == models::ModelHead::kCausalLm;
  }
  int64_t hidden_size() const override { return model_->config().hidden_size; }
  int64_t num_blocks() const override { return cache_.num_blocks(); }
  int64_t block_tokens() const override { return cache_.block_tokens(); }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, RunnerOutput& output) override {
    Gather(chunks, false);
    RETURN_IF_ERROR(model_->Forward(step_, cache_, output.logits));
    Gather(chunks, true);
    return model_->ForwardHidden(step_, cache_, output.hidden);
  }

  void CopyBlock(int32_t from, int32_t to) override {
    const absl::Span<std::byte> source = cache_.Block(from);
    std::copy(source.begin(), source.end(), cache_.Block(to).begin());
  }
  absl::Span<std::byte> BlockBytes(int32_t block) override { return cache_.Block(block); }

 private:
  // The model gives one kind of output a call.
  void Gather(absl::Span<const RunnerChunk> chunks, bool hidden) {
    step_.clear();
    for (const RunnerChunk& chunk : chunks) {
      if (chunk.wants_hidden != hidden) continue;
      step_.push_back({chunk.token_ids, chunk.start, chunk.block_table,
                       hidden ? 1 : chunk.num_logit_rows, chunk.prompt_tokens, chunk.adapter,
                       chunk.state_slot});
    }
  }

  const std::unique_ptr<models::CpuModel> model_;
  models::PagedKvCache cache_;
  std::vector<models::SequenceChunk> step_;
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
  return std::make_unique<CpuModelRunner>(std::move(model), std::move(cache));
}

}  // namespace oneai::serving
