#include "models/runtime/cpu_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/attention/attention.h"
#include "kernels/delta_net/causal_conv.h"
#include "kernels/delta_net/delta_rule.h"
#include "models/qwen/mtp.h"
#include "models/weights/checkpoint_source.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"

namespace oneai::models {
namespace {

using kernels::WeightFormat;

absl::StatusOr<WeightFormat> FormatOf(const CpuModelOptions& options) {
  const bool exact = options.dtype == ComputeDtype::kF32;
  const WeightFormat format =
      options.weights.value_or(exact ? WeightFormat::kFloat32 : WeightFormat::kBFloat16);
  if (exact && format != WeightFormat::kFloat32) {
    return absl::InvalidArgumentError(absl::StrCat("float32 arithmetic needs float32 weights, not ",
                                                   kernels::FormatName(format)));
  }
  return format;
}

absl::Status ChunkError(size_t index, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("chunk ", index, " of the step ", what));
}

absl::Status CheckChunk(const SequenceChunk& chunk, size_t index, const ModelConfig& config,
                        const PagedKvCache& cache) {
  if (chunk.tokens.empty()) return ChunkError(index, "has no tokens");
  if (chunk.start_position < 0) return ChunkError(index, "starts at a negative position");
  const int64_t end = chunk.start_position + static_cast<int64_t>(chunk.tokens.size());
  if (end > std::numeric_limits<int32_t>::max())
    return ChunkError(index, "ends beyond position 2^31");
  const int64_t blocks = (end + cache.block_tokens() - 1) / cache.block_tokens();
  if (blocks > static_cast<int64_t>(chunk.block_table.size())) {
    return ChunkError(index, absl::StrCat("needs ", blocks, " blocks for ", end,
                                          " tokens but its table has ", chunk.block_table.size()));
  }
  for (const int32_t block : chunk.block_table.first(blocks)) {
    if (block < 0 || block >= cache.num_blocks()) {
      return ChunkError(index,
                        absl::StrCat("names block ", block, " of a cache of ", cache.num_blocks()));
    }
  }
  for (const int32_t token : chunk.tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return ChunkError(index, absl::StrCat("has token id ", token, " outside the vocabulary of ",
                                            config.vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCache(const PagedKvCache& cache, const ModelConfig& config) {
  const kernels::KvCacheView& view = cache.layers()[0];
  if (static_cast<int64_t>(cache.layers().size()) == config.num_kv_layers() &&
      view.num_kv_heads == config.num_kv_heads && view.head_dim == config.head_dim) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the KV cache was made for a model of another shape");
}

absl::Status CheckHybrid(const ModelConfig& config) {
  const DeltaNetConfig& c = config.delta_net;
  if (config.num_kv_layers() < 1) {
    return absl::UnimplementedError("a model whose layers are all linear attention");
  }
  if (c.key_dim <= kernels::kDeltaKeyDimMax && c.conv_kernel <= kernels::kConvKernelMax) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat("linear_key_head_dim ", c.key_dim, " or linear_conv_kernel_dim ", c.conv_kernel,
                   " exceeds what the kernels support, ", kernels::kDeltaKeyDimMax, " and ",
                   kernels::kConvKernelMax));
}

// Everything that decides the bytes of packed weights.
std::string Fingerprint(const std::filesystem::path& folder, const ModelConfig& config,
                        const CpuModelOptions& options) {
  return absl::StrCat(DescribeWeightFiles(folder), "\n", ToHfJson(config), "\n",
                      options.dtype == ComputeDtype::kF32 ? "f32" : "bf16", " ",
                      options.weights.has_value() ? static_cast<int>(*options.weights) : -1, " ",
                      options.draft_head ? "with" : "without", " draft head");
}

// Packed weights are about as large as the files, or twice that where bf16 becomes float32.
int64_t PackedBytesExpected(const std::filesystem::path& folder, const CpuModelOptions& options) {
  return WeightFileBytes(folder) * (options.dtype == ComputeDtype::kF32 ? 2 : 1);
}

}  // namespace

CpuModel::CpuModel(ModelConfig config, std::shared_ptr<const WeightSource> source,
                   const CpuModelOptions& options)
    : config_(std::move(config)),
      source_(std::move(source)),
      options_(options),
      context_(options.num_threads),
      ops_(config_, context_) {}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Load(const std::filesystem::path& folder,
                                                         const CpuModelOptions& options) {
  ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfigOf(folder));
  ASSIGN_OR_RETURN(std::shared_ptr<const WeightSource> source, OpenWeights(folder));
  std::shared_ptr<WeightCache> cache =
      WeightCache::Open(options.weight_cache, Fingerprint(folder, config, options),
                        PackedBytesExpected(folder, options));
  return Bind(std::move(config), std::move(source), options, std::move(cache));
}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Create(ModelConfig config,
                                                           Checkpoint checkpoint,
                                                           const CpuModelOptions& options) {
  return Create(std::move(config), SourceOf(std::move(checkpoint)), options);
}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Create(
    ModelConfig config, std::shared_ptr<const WeightSource> source,
    const CpuModelOptions& options) {
  return Bind(std::move(config), std::move(source), options, nullptr);
}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Bind(ModelConfig config,
                                                         std::shared_ptr<const WeightSource> source,
                                                         const CpuModelOptions& options,
                                                         std::shared_ptr<WeightCache> cache) {
  if (config.head_dim > kernels::kAttentionHeadDimMax) {
    return absl::UnimplementedError(absl::StrCat("head_dim ", config.head_dim,
                                                 " exceeds what the attention kernels support, ",
                                                 kernels::kAttentionHeadDimMax));
  }
  ASSIGN_OR_RETURN(const WeightFormat format, FormatOf(options));
  RETURN_IF_ERROR(CheckHybrid(config));
  config.num_draft_layers = options.draft_head && qwen::HasMtp(config, *source) ? 1 : 0;
  auto model =
      std::unique_ptr<CpuModel>(new CpuModel(std::move(config), std::move(source), options));
  const bool exact = options.dtype == ComputeDtype::kF32;
  ASSIGN_OR_RETURN(model->weights_, BindCpuWeights(model->config_, *model->source_,
                                                   CpuWeightPolicy::For(format, exact),
                                                   model->context_, std::move(cache)));
  model->adapters_ = std::make_unique<AdapterSet>(
      model->config_, model->weights_.sites,
      exact ? WeightFormat::kFloat32 : WeightFormat::kBFloat16, options.adapter_bytes_max);
  return model;
}

absl::Status CpuModel::CheckStep(absl::Span<const SequenceChunk> chunks, const StepMemory& memory) {
  RETURN_IF_ERROR(CheckCache(memory.cache, config_));
  const bool recurrent = config_.HasLayer(LayerType::kLinearAttention);
  if (recurrent && memory.state == nullptr)
    return absl::InvalidArgumentError("a model with linear attention needs a recurrent state");
  for (size_t i = 0; i < chunks.size(); ++i)
    RETURN_IF_ERROR(CheckChunk(chunks[i], i, config_, memory.cache));
  return recurrent ? CheckStates(chunks, *memory.state) : absl::OkStatus();
}

absl::Status CpuModel::CheckStates(absl::Span<const SequenceChunk> chunks,
                                   const RecurrentState& state) {
  written_slots_.clear();
  for (size_t i = 0; i < chunks.size(); ++i) {
    const SequenceChunk& chunk = chunks[i];
    if (chunk.state_snapshots.size() >= chunk.tokens.size()) {
      return ChunkError(i, absl::StrCat("wants ", chunk.state_snapshots.size(),
                                        " states within its ", chunk.tokens.size(), " tokens"));
    }
    int64_t place = 0;
    const size_t first = written_slots_.size();
    written_slots_.push_back(chunk.state_slot);
    for (const StateCheckpoint& checkpoint : chunk.state_checkpoints) {
      const int64_t after = std::exchange(place, checkpoint.num_tokens);
      const auto num_sure =
          static_cast<int64_t>(chunk.tokens.size() - chunk.state_snapshots.size());
      if (place <= after || place >= num_sure) {
        return ChunkError(i, absl::StrCat("wants the state after ", place, " tokens, which is not ",
                                          "between ", after, " and ", num_sure));
      }
      written_slots_.push_back(checkpoint.slot);
    }
    written_slots_.insert(written_slots_.end(), chunk.state_snapshots.begin(),
                          chunk.state_snapshots.end());
    for (size_t s = first; s < written_slots_.size(); ++s) {
      if (written_slots_[s] >= 0 && written_slots_[s] < state.num_slots()) continue;
      return ChunkError(
          i, absl::StrCat("names state slot ", written_slots_[s], " of ", state.num_slots()));
    }
  }
  std::ranges::sort(written_slots_);
  const auto twice = std::ranges::adjacent_find(written_slots_);
  if (twice == written_slots_.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("state slot ", *twice, " is named twice in one step"));
}

absl::Status CpuModel::TakeAdapters(absl::Span<const SequenceChunk> chunks) {
  adapter_table_ = adapters_->Snapshot();
  chunk_adapters_.clear();
  for (size_t i = 0; i < chunks.size(); ++i) {
    const CpuLora* adapter = nullptr;
    if (chunks[i].adapter != kNoAdapter) {
      const auto found = adapter_table_->find(chunks[i].adapter);
      if (found == adapter_table_->end())
        return ChunkError(
            i, absl::StrCat("names adapter ", chunks[i].adapter, ", which is not loaded"));
      adapter = found->second.get();
    }
    chunk_adapters_.push_back(adapter);
  }
  return absl::OkStatus();
}

void CpuModel::FlattenChunk(const SequenceChunk& chunk, const CpuLora* adapter,
                            int64_t block_tokens) {
  for (size_t t = 0; t < chunk.tokens.size(); ++t) {
    const int64_t position = chunk.start_position + static_cast<int64_t>(t);
    const auto tokens_left = static_cast<int64_t>(chunk.tokens.size() - t);
    if (tokens_left <= chunk.num_logit_rows) {
      rows_.push_back(static_cast<int64_t>(tokens_.size()));
      row_adapters_.push_back(adapter);
    }
    if (tokens_left <= chunk.num_hidden_rows) {
      hidden_rows_.push_back(static_cast<int64_t>(tokens_.size()));
    }
    tokens_.push_back(chunk.tokens[t]);
    positions_.push_back(static_cast<int32_t>(position));
    token_adapters_.push_back(adapter);
    slots_.push_back(chunk.block_table[position / block_tokens] * block_tokens +
                     position % block_tokens);
  }
  seq_start_.push_back(static_cast<int32_t>(tokens_.size()));
  context_len_.push_back(positions_.back() + 1);
  prompt_tokens_.push_back(chunk.prompt_tokens > 0 ? chunk.prompt_tokens : positions_.back() + 1);
  recurrent_.Add(seq_start_[seq_start_.size() - 2], seq_start_.back(),
                 chunk.start_position == 0 ? kernels::kZeroState : chunk.state_slot,
                 chunk.state_slot, chunk.state_snapshots, chunk.state_checkpoints);
}

CpuBatch CpuModel::FlattenStep(absl::Span<const SequenceChunk> chunks, const StepMemory& memory) {
  size_t stride = 0;
  for (const SequenceChunk& chunk : chunks) stride = std::max(stride, chunk.block_table.size());
  tokens_.clear(), positions_.clear(), slots_.clear(), context_len_.clear();
  prompt_tokens_.clear(), token_adapters_.clear(), recurrent_.Clear();
  seq_start_.assign(1, 0);
  block_table_.assign(chunks.size() * stride, 0);
  for (size_t i = 0; i < chunks.size(); ++i) {
    std::ranges::copy(chunks[i].block_table,
                      block_table_.begin() + static_cast<int64_t>(i * stride));
    FlattenChunk(chunks[i], chunk_adapters_[i], memory.cache.block_tokens());
  }
  const bool adapted = std::ranges::any_of(chunk_adapters_, [](auto* a) { return a != nullptr; });
  if (!adapted) token_adapters_.clear(), row_adapters_.clear();
  CpuBatch batch = {.tokens = tokens_,
                    .positions = positions_,
                    .slots = slots_,
                    .seq_start = seq_start_,
                    .context_len = context_len_,
                    .block_table = block_table_,
                    .block_table_stride = static_cast<int64_t>(stride),
                    .layers = memory.cache.layers(),
                    .prompt_tokens = prompt_tokens_,
                    .adapters = token_adapters_};
  if (memory.state != nullptr) batch.recurrent = &recurrent_, batch.states = memory.state->layers();
  return batch;
}

template <typename Observer>
CpuTensor CpuModel::RunLayers(absl::Span<const SequenceChunk> chunks, const StepMemory& memory,
                              Observer observer) {
  rows_.clear(), hidden_rows_.clear(), row_adapters_.clear();
  if (chunks.empty()) return {};
  ops_.Bind(FlattenStep(chunks, memory));
  return qwen::Forward(ops_, config_, weights_.model, observer);
}

void CpuModel::GatherRows(const CpuTensor& hidden, const std::vector<int64_t>& rows,
                          std::vector<float>& out) const {
  out.resize(rows.size() * static_cast<size_t>(config_.hidden_size));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(hidden.data + rows[i] * hidden.stride, config_.hidden_size,
                out.begin() + static_cast<int64_t>(i) * config_.hidden_size);
  }
}

void CpuModel::ApplyHead(const CpuTensor& hidden, std::vector<float>& logits) {
  const OpTimer timer(ops_.profile(), OpKind::kHead, context_.threads());
  GatherRows(hidden, rows_, selected_);
  logits.resize(rows_.size() * static_cast<size_t>(output_dim()));
  ops_.Apply({selected_.data(), config_.hidden_size}, static_cast<int64_t>(rows_.size()),
             weights_.model.head, row_adapters_, logits.data());
}

absl::Status CpuModel::Step(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                            StepOutput& output) {
  RETURN_IF_ERROR(CheckStep(chunks, memory));
  RETURN_IF_ERROR(TakeAdapters(chunks));
  int64_t num_tokens = 0;
  for (const SequenceChunk& chunk : chunks) num_tokens += static_cast<int64_t>(chunk.tokens.size());
  ops_.profile().BeginStep(num_tokens);
  const OpTimer timer(ops_.profile(), OpKind::kStep, context_.threads());
  const CpuTensor hidden = RunLayers(chunks, memory, qwen::NoObserver());
  ApplyHead(hidden, output.logits);
  GatherRows(hidden, hidden_rows_, output.hidden);
  return absl::OkStatus();
}

absl::Status CpuModel::Forward(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                               std::vector<float>& logits) {
  RETURN_IF_ERROR(CheckStep(chunks, memory));
  RETURN_IF_ERROR(TakeAdapters(chunks));
  ApplyHead(RunLayers(chunks, memory, qwen::NoObserver()), logits);
  return absl::OkStatus();
}

absl::Status CpuModel::ForwardHidden(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                                     std::vector<float>& hidden) {
  RETURN_IF_ERROR(CheckStep(chunks, memory));
  RETURN_IF_ERROR(TakeAdapters(chunks));
  GatherRows(RunLayers(chunks, memory, qwen::NoObserver()), rows_, hidden);
  return absl::OkStatus();
}

absl::Status CpuModel::ForwardObserved(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                                       std::vector<float>& logits, CpuObserver observer) {
  RETURN_IF_ERROR(CheckStep(chunks, memory));
  RETURN_IF_ERROR(TakeAdapters(chunks));
  ApplyHead(RunLayers(chunks, memory, observer), logits);
  return absl::OkStatus();
}

absl::Status CpuModel::TakeDrafts(absl::Span<const DraftChunk> chunks, const PagedKvCache& cache) {
  if (!has_draft_head()) {
    return absl::FailedPreconditionError(
        "there is no draft head: load the model with draft_head, from weights that hold 'mtp.*'");
  }
  RETURN_IF_ERROR(CheckCache(cache, config_));
  draft_chunks_.clear(), draft_hidden_.clear();
  for (size_t i = 0; i < chunks.size(); ++i) {
    const DraftChunk& chunk = chunks[i];
    draft_chunks_.push_back({.tokens = chunk.next_tokens,
                             .start_position = chunk.start_position,
                             .block_table = chunk.block_table,
                             .num_logit_rows = chunk.num_logit_rows,
                             .num_hidden_rows = chunk.num_logit_rows});
    RETURN_IF_ERROR(CheckChunk(draft_chunks_.back(), i, config_, cache));
    if (chunk.hidden.size() !=
        chunk.next_tokens.size() * static_cast<size_t>(config_.hidden_size)) {
      return ChunkError(i,
                        absl::StrCat("has ", chunk.hidden.size(), " hidden elements for ",
                                     chunk.next_tokens.size(), " tokens of ", config_.hidden_size));
    }
    draft_hidden_.insert(draft_hidden_.end(), chunk.hidden.begin(), chunk.hidden.end());
  }
  return absl::OkStatus();
}

absl::Status CpuModel::DraftObserved(absl::Span<const DraftChunk> chunks, PagedKvCache& cache,
                                     StepOutput& output, CpuObserver observer) {
  RETURN_IF_ERROR(TakeDrafts(chunks, cache));
  rows_.clear(), hidden_rows_.clear(), row_adapters_.clear();
  CpuTensor hidden;
  if (!chunks.empty()) {
    chunk_adapters_.assign(chunks.size(), nullptr);
    ops_.Bind(FlattenStep(draft_chunks_, cache));
    hidden = qwen::Draft(ops_, config_, weights_.model.embed, *weights_.mtp,
                         CpuTensor{draft_hidden_.data(), config_.hidden_size}, observer);
  }
  ApplyHead(hidden, output.logits);
  GatherRows(hidden, hidden_rows_, output.hidden);
  return absl::OkStatus();
}

absl::Status CpuModel::Draft(absl::Span<const DraftChunk> chunks, PagedKvCache& cache,
                             StepOutput& output) {
  return DraftObserved(chunks, cache, output, [](qwen::Probe, int64_t, const CpuTensor&) {});
}

}  // namespace oneai::models
