#include "serving/engine/cpu_model_runner.h"

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

  int64_t vocab_size() const override { return model_->output_dim(); }
  int64_t num_blocks() const override { return cache_.num_blocks(); }
  int64_t block_tokens() const override { return cache_.block_tokens(); }

  absl::Status Forward(absl::Span<const RunnerChunk> chunks, std::vector<float>& logits) override {
    step_.clear();
    for (const RunnerChunk& chunk : chunks) {
      step_.push_back({chunk.token_ids, chunk.start, chunk.block_table, chunk.num_logit_rows,
                       chunk.prompt_tokens, chunk.adapter, chunk.state_slot});
    }
    return model_->Forward(step_, cache_, logits);
  }

 private:
  const std::unique_ptr<models::CpuModel> model_;
  models::PagedKvCache cache_;
  std::vector<models::SequenceChunk> step_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRunner>> NewCpuModelRunner(
    std::unique_ptr<models::CpuModel> model, models::ComputeDtype dtype, int64_t kv_cache_bytes) {
  const models::ModelConfig& config = model->config();
  if (config.head != models::ModelHead::kCausalLm) {
    return absl::InvalidArgumentError("the model is a classifier, which generates no text");
  }
  const int64_t block_bytes = models::PagedKvCache::BlockBytes(config, kBlockTokens, dtype);
  const int64_t num_blocks = kv_cache_bytes / block_bytes;
  if (num_blocks < 1) {
    return absl::InvalidArgumentError(absl::StrCat("kv_cache_bytes is ", kv_cache_bytes,
                                                   "; one block of ", kBlockTokens,
                                                   " tokens of this model takes ", block_bytes));
  }
  ASSIGN_OR_RETURN(models::PagedKvCache cache,
                   models::PagedKvCache::Create(config, num_blocks, kBlockTokens, dtype));
  return std::make_unique<CpuModelRunner>(std::move(model), std::move(cache));
}

}  // namespace oneai::serving
