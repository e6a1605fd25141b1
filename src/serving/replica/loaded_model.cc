#include "serving/replica/loaded_model.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/runtime/cpu_model.h"
#include "models/tokenizer/tokenizer_files.h"
#include "serving/engine/cpu_model_runner.h"

namespace oneai::serving {
namespace {

constexpr int64_t kDefaultContextMax = 8192;
constexpr int64_t kDefaultContextsCached = 8;

// `value`, or a default-constructed one when the file it comes from does not exist.
template <typename T>
absl::StatusOr<T> OrDefault(absl::StatusOr<T> value) {
  if (absl::IsNotFound(value.status())) return T();
  return value;
}

absl::StatusOr<int64_t> ContextTokens(const ReplicaSettings& settings,
                                      const models::ModelConfig& config) {
  if (settings.max_context_tokens > config.max_positions) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_context_tokens is ", settings.max_context_tokens,
                     "; the model was made for ", config.max_positions));
  }
  return settings.max_context_tokens > 0 ? settings.max_context_tokens
                                         : std::min(config.max_positions, kDefaultContextMax);
}

// What ends an answer: generation_config.json, config.json and the tokenizer's eos_token may each
// name another token (Qwen's chat models end turns with <|im_end|> and documents with
// <|endoftext|>), and each of them is an end.
std::vector<int32_t> EndTokens(const models::ModelConfig& config,
                               const models::GenerationConfig& generation,
                               const models::Tokenizer& tokenizer,
                               const models::TokenizerConfig& tokenizer_config) {
  std::set<int32_t> ids;
  for (int64_t id : config.eos_token_ids) ids.insert(static_cast<int32_t>(id));
  for (int64_t id : generation.eos_token_ids) ids.insert(static_cast<int32_t>(id));
  if (tokenizer_config.eos_token.has_value()) {
    if (const auto id = tokenizer.FindToken(*tokenizer_config.eos_token)) ids.insert(*id);
  }
  return {ids.begin(), ids.end()};
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const ReplicaSettings& settings) {
  const std::filesystem::path folder = settings.model_dir;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("model_dir ", settings.model_dir, " is no folder"));
  }
  LoadedModel loaded;
  models::CpuModelOptions options;
  options.dtype = settings.dtype;
  options.num_threads = settings.num_threads;
  ASSIGN_OR_RETURN(loaded.generation, OrDefault(models::LoadGenerationConfig(folder)));
  ASSIGN_OR_RETURN(const models::TokenizerConfig tokenizer_config,
                   OrDefault(models::LoadTokenizerConfig(folder)));
  ASSIGN_OR_RETURN(std::unique_ptr<models::Tokenizer> tokenizer, models::Tokenizer::Load(folder));
  ASSIGN_OR_RETURN(std::unique_ptr<models::CpuModel> model,
                   models::CpuModel::Load(folder, options));
  const models::ModelConfig config = model->config();

  ASSIGN_OR_RETURN(const int64_t context, ContextTokens(settings, config));
  loaded.engine_options.max_context_tokens = context;
  loaded.engine_options.max_batch_tokens = settings.max_batch_tokens;
  loaded.engine_options.max_running_sequences = settings.max_running_sequences;
  loaded.engine_options.max_waiting_requests = settings.max_waiting_requests;
  loaded.tokens.num_tokens = std::min(config.vocab_size, tokenizer->vocab_size());
  loaded.tokens.end_ids = EndTokens(config, loaded.generation, *tokenizer, tokenizer_config);
  loaded.tokens.tokenizer = tokenizer.get();
  ASSIGN_OR_RETURN(PromptBuilder prompts,
                   PromptBuilder::Create(std::move(tokenizer), tokenizer_config));
  loaded.prompts = std::make_unique<PromptBuilder>(std::move(prompts));

  const int64_t context_bytes =
      BlocksFor(context, kBlockTokens) *
      models::PagedKvCache::BlockBytes(config, kBlockTokens, settings.dtype);
  ASSIGN_OR_RETURN(loaded.runner, NewCpuModelRunner(std::move(model), settings.dtype,
                                                    settings.kv_cache_bytes > 0
                                                        ? settings.kv_cache_bytes
                                                        : kDefaultContextsCached * context_bytes));
  return loaded;
}

}  // namespace oneai::serving
