#include "models/runtime/cpu_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/attention/attention.h"
#include "models/qwen/weights.h"

namespace oneai::models {
namespace {

kernels::Dtype KernelDtype(ComputeDtype dtype) {
  return dtype == ComputeDtype::kBf16 ? kernels::Dtype::kBFloat16 : kernels::Dtype::kFloat32;
}

// A stored tensor in a form that kernels read: in place where its dtype allows it, else widened
// into `owned`.
struct ReadableTensor {
  const void* data = nullptr;
  kernels::Dtype dtype = kernels::Dtype::kFloat32;
  std::vector<float> owned;
};

absl::StatusOr<ReadableTensor> MakeReadable(const TensorView& tensor) {
  ReadableTensor readable;
  readable.data = tensor.data.data();
  if (tensor.dtype == DType::kBF16) {
    readable.dtype = kernels::Dtype::kBFloat16;
  } else if (tensor.dtype != DType::kF32) {
    ASSIGN_OR_RETURN(readable.owned, ToFloat32(tensor));
    readable.data = readable.owned.data();
  }
  return readable;
}

// The Source of qwen::BindWeights that packs.
class PackingSource {
 public:
  PackingSource(const qwen::StoredWeights& stored, ComputeDtype dtype,
                kernels::KernelContext& context, std::vector<float>& embedding)
      : stored_(stored), dtype_(KernelDtype(dtype)), context_(context), embedding_(embedding) {}

  absl::StatusOr<std::vector<float>> Vector(const std::string& name) {
    return ToFloat32(stored_.at(name));
  }

  absl::StatusOr<CpuOps::Embedding> Embedding(const std::string& name) {
    ASSIGN_OR_RETURN(ReadableTensor table, MakeReadable(stored_.at(name)));
    if (table.owned.empty()) return CpuOps::Embedding{table.data, table.dtype};
    embedding_ = std::move(table.owned);
    return CpuOps::Embedding{embedding_.data(), kernels::Dtype::kFloat32};
  }

  absl::StatusOr<CpuOps::Linear> Linear(const std::string& weight, const std::string& bias) {
    CpuOps::Linear linear;
    ASSIGN_OR_RETURN(linear.weight, Pack({weight}));
    if (!bias.empty()) {
      ASSIGN_OR_RETURN(linear.bias, Vector(bias));
    }
    return linear;
  }

  absl::StatusOr<CpuOps::GateUp> GateUp(const std::string& gate, const std::string& up) {
    ASSIGN_OR_RETURN(kernels::PackedMatrix fused, Pack({gate, up}));
    return CpuOps::GateUp{std::move(fused)};
  }

 private:
  absl::StatusOr<kernels::PackedMatrix> Pack(const std::vector<std::string>& names) {
    std::vector<ReadableTensor> parts;
    std::vector<kernels::MatrixView> views;
    for (const std::string& name : names) {
      const TensorView& tensor = stored_.at(name);
      ASSIGN_OR_RETURN(ReadableTensor part, MakeReadable(tensor));
      views.push_back({.data = part.data,
                       .dtype = part.dtype,
                       .n = tensor.shape[0],
                       .k = tensor.shape[1],
                       .row_stride = tensor.shape[1]});
      parts.push_back(std::move(part));
    }
    return kernels::PackedMatrix::Pack(views, dtype_, context_);
  }

  const qwen::StoredWeights& stored_;
  const kernels::Dtype dtype_;
  kernels::KernelContext& context_;
  std::vector<float>& embedding_;
};

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

}  // namespace

CpuModel::CpuModel(ModelConfig config, Checkpoint checkpoint, const CpuModelOptions& options)
    : config_(std::move(config)),
      checkpoint_(std::move(checkpoint)),
      options_(options),
      context_(options.num_threads),
      ops_(config_, context_) {}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Load(const std::filesystem::path& folder,
                                                         const CpuModelOptions& options) {
  ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(folder));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
  return Create(std::move(config), std::move(checkpoint), options);
}

absl::StatusOr<std::unique_ptr<CpuModel>> CpuModel::Create(ModelConfig config,
                                                           Checkpoint checkpoint,
                                                           const CpuModelOptions& options) {
  if (config.head_dim > kernels::kAttentionHeadDimMax) {
    return absl::UnimplementedError(absl::StrCat("head_dim ", config.head_dim,
                                                 " exceeds what the attention kernels support, ",
                                                 kernels::kAttentionHeadDimMax));
  }
  auto model =
      std::unique_ptr<CpuModel>(new CpuModel(std::move(config), std::move(checkpoint), options));
  ASSIGN_OR_RETURN(const qwen::StoredWeights stored,
                   qwen::MatchCheckpoint(model->config_, model->checkpoint_));
  PackingSource source(stored, options.dtype, model->context_, model->embedding_);
  ASSIGN_OR_RETURN(model->weights_, qwen::BindWeights<CpuOps>(model->config_, source));
  return model;
}

int64_t CpuModel::weight_bytes() const {
  int64_t bytes = weights_.head.weight.bytes();
  for (const qwen::BlockWeights<CpuOps>& w : weights_.blocks) {
    bytes += w.gate_up.fused.bytes();
    for (const CpuOps::Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.down})
      bytes += linear->weight.bytes();
  }
  return bytes;
}

absl::Status CpuModel::CheckStep(absl::Span<const SequenceChunk> chunks,
                                 const PagedKvCache& cache) const {
  const kernels::KvCacheView& view = cache.layers()[0];
  if (static_cast<int64_t>(cache.layers().size()) != config_.num_layers ||
      view.num_kv_heads != config_.num_kv_heads || view.head_dim != config_.head_dim) {
    return absl::InvalidArgumentError("the KV cache was made for a model of another shape");
  }
  for (size_t i = 0; i < chunks.size(); ++i)
    RETURN_IF_ERROR(CheckChunk(chunks[i], i, config_, cache));
  return absl::OkStatus();
}

CpuBatch CpuModel::FlattenStep(absl::Span<const SequenceChunk> chunks, const PagedKvCache& cache) {
  const int64_t block_tokens = cache.block_tokens();
  size_t stride = 0;
  for (const SequenceChunk& chunk : chunks) stride = std::max(stride, chunk.block_table.size());
  tokens_.clear(), positions_.clear(), slots_.clear(), context_len_.clear();
  seq_start_.assign(1, 0);
  block_table_.assign(chunks.size() * stride, 0);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const SequenceChunk& chunk = chunks[i];
    std::ranges::copy(chunk.block_table, block_table_.begin() + static_cast<int64_t>(i * stride));
    for (size_t t = 0; t < chunk.tokens.size(); ++t) {
      const int64_t position = chunk.start_position + static_cast<int64_t>(t);
      const auto tokens_left = static_cast<int64_t>(chunk.tokens.size() - t);
      if (tokens_left <= chunk.num_logit_rows) {
        rows_.push_back(static_cast<int64_t>(tokens_.size()));
      }
      tokens_.push_back(chunk.tokens[t]);
      positions_.push_back(static_cast<int32_t>(position));
      slots_.push_back(chunk.block_table[position / block_tokens] * block_tokens +
                       position % block_tokens);
    }
    seq_start_.push_back(static_cast<int32_t>(tokens_.size()));
    context_len_.push_back(positions_.back() + 1);
  }
  return {.tokens = tokens_,
          .positions = positions_,
          .slots = slots_,
          .seq_start = seq_start_,
          .context_len = context_len_,
          .block_table = block_table_,
          .block_table_stride = static_cast<int64_t>(stride),
          .layers = cache.layers()};
}

template <typename Observer>
void CpuModel::RunLayers(absl::Span<const SequenceChunk> chunks, const PagedKvCache& cache,
                         Observer observer) {
  rows_.clear();
  selected_.clear();
  if (chunks.empty()) return;
  ops_.Bind(FlattenStep(chunks, cache));
  const CpuTensor hidden = qwen::Forward(ops_, config_, weights_, observer);
  selected_.resize(rows_.size() * static_cast<size_t>(config_.hidden_size));
  for (size_t i = 0; i < rows_.size(); ++i) {
    std::copy_n(hidden.data + rows_[i] * hidden.stride, config_.hidden_size,
                selected_.begin() + static_cast<int64_t>(i) * config_.hidden_size);
  }
}

void CpuModel::ApplyHead(std::vector<float>& logits) {
  logits.resize(rows_.size() * static_cast<size_t>(output_dim()));
  ops_.Apply({selected_.data(), config_.hidden_size}, static_cast<int64_t>(rows_.size()),
             weights_.head, logits.data());
}

absl::Status CpuModel::Forward(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                               std::vector<float>& logits) {
  RETURN_IF_ERROR(CheckStep(chunks, cache));
  RunLayers(chunks, cache, qwen::NoObserver());
  ApplyHead(logits);
  return absl::OkStatus();
}

absl::Status CpuModel::ForwardHidden(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                                     std::vector<float>& hidden) {
  RETURN_IF_ERROR(CheckStep(chunks, cache));
  RunLayers(chunks, cache, qwen::NoObserver());
  hidden.assign(selected_.begin(), selected_.end());
  return absl::OkStatus();
}

absl::Status CpuModel::ForwardObserved(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                                       std::vector<float>& logits, CpuObserver observer) {
  RETURN_IF_ERROR(CheckStep(chunks, cache));
  RunLayers(chunks, cache, observer);
  ApplyHead(logits);
  return absl::OkStatus();
}

}  // namespace oneai::models
