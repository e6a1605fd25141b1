#include "serving/replica/loaded_model.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "models/runtime/cpu_model.h"
#include "models/weights/model_files.h"
#include "serving/engine/cpu_model_runner.h"
#include "serving/engine/model_drafter.h"

namespace oneai::serving {
namespace {

constexpr int64_t kDefaultContextMax = 8192;
constexpr int64_t kDefaultContextsCached = 8;
constexpr int64_t kGrammarsCached = 256;

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

// What a model is for, by its files: a classifier says so in its config, an embedding model comes
// with the pooling that sentence-transformers wants. A reranker looks like any language model; its
// settings must say so.
ModelTask GuessTask(const std::filesystem::path& folder, const models::ModelConfig& config) {
  if (config.head == models::ModelHead::kSequenceClassification) return ModelTask::kClassify;
  std::error_code error;
  const bool pools = std::filesystem::exists(folder / "1_Pooling" / "config.json", error);
  return pools ? ModelTask::kEmbed : ModelTask::kGenerate;
}

absl::StatusOr<std::unique_ptr<models::CpuModel>> LoadCpuModel(const ReplicaSettings& settings,
                                                               const std::string& folder) {
  models::CpuModelOptions options;
  options.dtype = settings.dtype;
  options.num_threads = settings.num_threads;
  options.weights = settings.quantize;
  options.weight_cache = settings.weight_cache_dir;
  options.draft_head = folder == settings.model_dir &&
                       (settings.speculation == Speculation::kMtp ||
                        settings.speculation == Speculation::kAuto);
  return models::CpuModel::Load(folder, options);
}

models::KvCacheFormat CacheFormat(const ReplicaSettings& settings) {
  return settings.kv_cache.value_or(models::DefaultKvCacheFormat(settings.dtype));
}

// A runner whose cache holds what the settings say, or eight full contexts of `context` tokens.
absl::StatusOr<std::unique_ptr<ModelRunner>> NewRunner(const ReplicaSettings& settings,
                                                       std::unique_ptr<models::CpuModel> model,
                                                       int64_t context) {
  const int64_t context_bytes =
      BlocksFor(context, kBlockTokens) *
      models::PagedKvCache::BlockBytes(model->config(), kBlockTokens, CacheFormat(settings));
  CpuRunnerOptions options;
  options.kv_cache = CacheFormat(settings);
  options.kv_cache_bytes = settings.kv_cache_bytes > 0 ? settings.kv_cache_bytes
                                                       : kDefaultContextsCached * context_bytes;
  options.max_sequences = settings.max_running_sequences;
  options.spare_state_bytes = settings.state_cache_bytes;
  return NewCpuModelRunner(std::move(model), options);
}

// The model that guesses, once its tokens are known to mean the same.
absl::StatusOr<std::unique_ptr<ModelRunner>> LoadDraft(const ReplicaSettings& settings,
                                                       const models::Tokenizer& tokenizer,
                                                       int64_t context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<models::Tokenizer> of_draft,
                   models::LoadTokenizerOf(settings.draft_model_dir));
  RETURN_IF_ERROR(Annotate(CheckSameTokens(tokenizer, *of_draft), "draft_model_dir"));
  ASSIGN_OR_RETURN(std::unique_ptr<models::CpuModel> draft,
                   LoadCpuModel(settings, settings.draft_model_dir));
  return NewRunner(settings, std::move(draft), context);
}

EngineOptions ToEngineOptions(const ReplicaSettings& settings, int64_t context) {
  EngineOptions options;
  options.max_context_tokens = context;
  options.max_batch_tokens = settings.max_batch_tokens;
  options.max_running_sequences = settings.max_running_sequences;
  options.max_waiting_requests = settings.max_waiting_requests;
  options.prefix_cache = settings.prefix_cache;
  options.cache_folder = settings.prefix_file_dir;
  options.cache_file_bytes_max = settings.prefix_file_dir.empty() ? 0 : settings.prefix_file_bytes;
  options.speculation = settings.speculation;
  options.draft_tokens_max = settings.draft_tokens_max;
  return options;
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const ReplicaSettings& settings) {
  const std::filesystem::path folder = settings.model_dir;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("model_dir ", settings.model_dir, " is no folder"));
  }
  LoadedModel loaded;
  ASSIGN_OR_RETURN(loaded.model.generation, OrDefault(models::LoadGenerationConfig(folder)));
  ASSIGN_OR_RETURN(models::TokenizerFiles tokenizer_files, models::LoadTokenizerFiles(folder));
  const models::TokenizerConfig tokenizer_config = std::move(tokenizer_files.config);
  absl::StatusOr<std::unique_ptr<models::Tokenizer>> created =
      models::Tokenizer::Create(std::move(tokenizer_files.spec));
  if (!created.ok()) return Annotate(created.status(), settings.model_dir);
  std::unique_ptr<models::Tokenizer> tokenizer = *std::move(created);
  ASSIGN_OR_RETURN(std::unique_ptr<models::CpuModel> model,
                   LoadCpuModel(settings, settings.model_dir));
  const models::ModelConfig& config = model->config();
  if (const int64_t vision = model->num_vision_tensors(); vision > 0) {
    Log::Warning("the model's vision tower is not used: text only",
                 {{"model", settings.model_name}, {"tensors", vision}});
  }
  ASSIGN_OR_RETURN(const int64_t context, ContextTokens(settings, config));
  loaded.engine_options = ToEngineOptions(settings, context);
  loaded.model.name = settings.model_name;
  loaded.model.version = settings.model_version;
  loaded.model.task = settings.task.value_or(GuessTask(folder, config));
  loaded.model.max_context_tokens = context;
  loaded.model.hidden_size = config.hidden_size;
  loaded.tokens.num_tokens = std::min(config.vocab_size, tokenizer->vocab_size());
  loaded.tokens.end_ids = EndTokens(config, loaded.model.generation, *tokenizer, tokenizer_config);
  loaded.tokens.tokenizer = tokenizer.get();
  if (!loaded.tokens.end_ids.empty() && loaded.model.task == ModelTask::kGenerate) {
    ASSIGN_OR_RETURN(std::shared_ptr<const TokenVocabulary> vocabulary,
                     TokenVocabulary::Create(*tokenizer, loaded.tokens.end_ids, config.vocab_size));
    loaded.grammars =
        std::make_unique<GrammarCache>(std::move(vocabulary), GrammarLimits(), kGrammarsCached);
  }
  ASSIGN_OR_RETURN(PromptBuilder prompts,
                   PromptBuilder::Create(std::move(tokenizer), tokenizer_config));
  loaded.prompts = std::make_unique<PromptBuilder>(std::move(prompts));
  ASSIGN_OR_RETURN(loaded.runner, NewRunner(settings, std::move(model), context));
  if (!settings.draft_model_dir.empty()) {
    ASSIGN_OR_RETURN(loaded.draft, LoadDraft(settings, loaded.prompts->tokenizer(), context));
  }
  return loaded;
}

}  // namespace oneai::serving
