// File: models/runtime/cpu_model.h
//
// A model that answers: weights packed once for this machine's matrix unit, and one ragged step at
// a time over a paged KV cache. No LibTorch. Serving and evaluation run on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/ops/cpu_ops.h"
#include "models/qwen/forward.h"
#include "models/runtime/paged_kv_cache.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models {

struct CpuModelOptions {
  ComputeDtype dtype =
      ComputeDtype::kBf16;  // kF32: twice the memory, slower, for goldens and debugging
  int num_threads = 0;      // 0: every processor this process may run on
};

// As num_logit_rows: a row for every token of the chunk.
inline constexpr int64_t kAllRows = std::numeric_limits<int64_t>::max();

// The adapter of a chunk that uses the base model as it is.
inline constexpr int32_t kNoAdapter = -1;

// Consecutive tokens of one sequence.
struct SequenceChunk {
  absl::Span<const int32_t> tokens;  // at least one
  int64_t start_position = 0;        // position of tokens[0]; earlier ones are in the cache already
  absl::Span<const int32_t>
      block_table;  // cache blocks of positions 0, block_tokens, 2 block_tokens, ...
  // The last this many tokens get an output row: 1 to go on from the chunk's end, 0 in the middle
  // of a prompt, kAllRows for all (verification of drafts, scores of a prompt).
  int64_t num_logit_rows = 1;
  // Tokens of the whole prompt. Models with dynamic NTK scaling (qwen) set their rotary base by it;
  // 0: the chunk's end.
  int64_t prompt_tokens = 0;
  // LoRA adapter, as the adapter set numbers them (models/lora/cpu_adapters.h), or kNoAdapter.
  int32_t adapter = kNoAdapter;
  // Recurrent state of a hybrid model (qwen3_next, qwen3_5): the slot that holds the state after
  // start_position - 1 and receives the one after the chunk. start_position 0 starts from zeros.
  // Models without recurrent layers ignore it.
  int32_t state_slot = 0;
};

// Called with what the forward pass computes; the tensor's rows are the step's tokens.
using CpuObserver = absl::FunctionRef<void(qwen::Probe probe, int64_t layer, const CpuTensor& x)>;

// Thread-compatible: one step at a time. Buffers are reused; a steady workload does not allocate.
class CpuModel {
 public:
  // Loads config.json and the weights of `folder`. Errors: those of LoadModelConfig,
  // Checkpoint::Open and qwen::MatchCheckpoint.
  static absl::StatusOr<std::unique_ptr<CpuModel>> Load(const std::filesystem::path& folder,
                                                        const CpuModelOptions& options);
  // As Load for a config and a checkpoint that are open already; keeps the checkpoint mapped.
  static absl::StatusOr<std::unique_ptr<CpuModel>> Create(ModelConfig config, Checkpoint checkpoint,
                                                          const CpuModelOptions& options);

  const ModelConfig& config() const { return config_; }
  // Width of an output row: vocab_size, or num_labels of a sequence classifier.
  int64_t output_dim() const { return weights_.head.weight.n(); }
  // Bytes of the packed weights.
  int64_t weight_bytes() const;

  // Runs one ragged step: writes the chunks' keys and values to the cache and sets `logits` to
  // [num_rows, output_dim], rows in the order of the chunks and, within one, of its tokens. A
  // row's bits do not depend on the other chunks, on where the prompt was cut into chunks, or on
  // the number of threads. No chunks: no-op, no rows. InvalidArgument, with nothing computed,
  // naming the chunk: no tokens, an id outside the vocabulary, a block table that is too short or
  // names a block outside the cache, or a cache of another model. Two chunks of a step must not
  // write the same block.
  absl::Status Forward(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                       std::vector<float>& logits);

  // As Forward, but the rows are final-normed hidden states [num_rows, hidden_size].
  absl::Status ForwardHidden(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                             std::vector<float>& hidden);

  // As Forward, and shows every intermediate to `observer`.
  absl::Status ForwardObserved(absl::Span<const SequenceChunk> chunks, PagedKvCache& cache,
                               std::vector<float>& logits, CpuObserver observer);

 private:
  CpuModel(ModelConfig config, Checkpoint checkpoint, const CpuModelOptions& options);
  absl::Status CheckStep(absl::Span<const SequenceChunk> chunks, const PagedKvCache& cache) const;
  // Flattens the chunks into the step_ vectors.
  CpuBatch FlattenStep(absl::Span<const SequenceChunk> chunks, const PagedKvCache& cache);
  // Runs the layers and gathers the wanted rows of the final hidden states into selected_.
  template <typename Observer>
  void RunLayers(absl::Span<const SequenceChunk> chunks, const PagedKvCache& cache,
                 Observer observer);
  void ApplyHead(std::vector<float>& logits);

  const ModelConfig config_;
  const Checkpoint checkpoint_;  // mapped: the embedding table is read in place
  const CpuModelOptions options_;
  kernels::KernelContext context_;
  CpuOps ops_;
  std::vector<float> embedding_;  // only when the file's dtype is neither bf16 nor float32
  qwen::ModelWeights<CpuOps> weights_;

  std::vector<int32_t> tokens_, positions_, seq_start_, context_len_, block_table_;
  std::vector<int64_t> slots_;
  std::vector<int64_t> rows_;    // step rows that get an output
  std::vector<float> selected_;  // [rows_, hidden_size]
};

}  // namespace oneai::models
