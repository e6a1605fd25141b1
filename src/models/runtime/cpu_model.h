// File: models/runtime/cpu_model.h
//
// A model that answers: weights packed once for this machine's matrix unit, and one ragged step at
// a time over a paged KV cache. No LibTorch. Serving and evaluation run on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/thread_pool/kernel_context.h"
#include "models/config/model_config.h"
#include "models/lora/cpu_adapters.h"
#include "models/ops/cpu_ops.h"
#include "models/qwen/forward.h"
#include "models/runtime/cpu_weights.h"
#include "models/runtime/draft_chunk.h"
#include "models/runtime/paged_kv_cache.h"
#include "models/runtime/recurrent_state.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/weight_source.h"

namespace oneai::models {

struct CpuModelOptions {
  ComputeDtype dtype =
      ComputeDtype::kBf16;  // kF32: twice the memory, slower, for goldens and debugging
  int num_threads = 0;      // 0: every processor this process may run on
  // How dense weights are kept; unset: as `dtype` says. kInt8 and kInt4 quantise them when they are
  // loaded (CpuWeightPolicy says which) and need dtype kBf16. Weights that are stored as integers
  // keep their codes with kBf16, and are widened with kF32.
  std::optional<kernels::WeightFormat> weights;
  // Also loads the multi-token-prediction head, where the file has one: see CpuModel::Draft. Its
  // layer takes memory like the model's others, and a place in every KV block.
  bool draft_head = false;
  // Where Load keeps packed weights for the next start (models/runtime/weight_cache.h); empty:
  // nowhere.
  std::filesystem::path weight_cache;
  int64_t adapter_bytes_max = int64_t{1} << 30;  // of all loaded LoRA adapters together
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
  // Slots that receive the recurrent state within the chunk, fewer than it has tokens: of k slots,
  // slot i the state k - i tokens before the end. A sequence whose last tokens are unsure (drafts)
  // goes on from the slot behind the last one that was right.
  absl::Span<const int32_t> state_snapshots;
  // Slots that receive the state at other places within the chunk, in ascending order, after at
  // least one token and before those of state_snapshots and the end: where another sequence may go
  // on.
  absl::Span<const StateCheckpoint> state_checkpoints;
  // The last this many tokens get a row of final-normed hidden state in StepOutput::hidden: 1 for
  // an embedding, as many as Draft is to read.
  int64_t num_hidden_rows = 0;
};

// What a step reads and writes besides its tokens. Borrowed.
struct StepMemory {
  // Implicit: a cache is all that most models need.
  StepMemory(PagedKvCache& cache, RecurrentState* state = nullptr)  // NOLINT
      : cache(cache), state(state) {}
  PagedKvCache& cache;
  RecurrentState* state;  // needed by models with linear attention only
};

// What a step computes; vectors keep their capacity from step to step.
struct StepOutput {
  std::vector<float> logits;  // [rows of num_logit_rows, output_dim]
  std::vector<float> hidden;  // [rows of num_hidden_rows, hidden_size]
};

// Called with what the forward pass computes; the tensor's rows are the step's tokens.
using CpuObserver = absl::FunctionRef<void(qwen::Probe probe, int64_t layer, const CpuTensor& x)>;

// Thread-compatible: one step at a time. Buffers are reused; a steady workload does not allocate.
class CpuModel {
 public:
  // Loads configuration and weights of `folder` (or .gguf file), in any format that OpenWeights
  // reads. Errors: those of LoadModelConfigOf, OpenWeights and qwen::MatchCheckpoint;
  // InvalidArgument for options that do not go together.
  static absl::StatusOr<std::unique_ptr<CpuModel>> Load(const std::filesystem::path& folder,
                                                        const CpuModelOptions& options);
  // As Load for a config and weights that are open already; keeps them open.
  static absl::StatusOr<std::unique_ptr<CpuModel>> Create(
      ModelConfig config, std::shared_ptr<const WeightSource> source,
      const CpuModelOptions& options);
  static absl::StatusOr<std::unique_ptr<CpuModel>> Create(ModelConfig config, Checkpoint checkpoint,
                                                          const CpuModelOptions& options);

  const ModelConfig& config() const { return config_; }
  // Width of an output row: vocab_size, or num_labels of a sequence classifier.
  int64_t output_dim() const { return weights_.model.head.weight.n(); }
  // Bytes of the packed weights.
  int64_t weight_bytes() const { return weights_.bytes; }
  // Tensors of a vision tower that the weights hold and the model does not: say so where there are
  // any, since images will be refused.
  int64_t num_vision_tensors() const { return qwen::NumVisionTensors(*source_); }
  // The LoRA adapters that chunks may name; thread-safe, also while a step runs.
  AdapterSet& adapters() { return *adapters_; }

  // Runs one ragged step: writes the chunks' keys and values to the cache (and recurrent states to
  // their slots) and sets `output`, rows in the order of the chunks and, within one, of its tokens.
  // A row's bits do not depend on the other chunks, on where the prompt was cut into chunks, or on
  // the number of threads. No chunks: no-op, no rows. InvalidArgument, with nothing computed,
  // naming the chunk: no tokens, an id outside the vocabulary, a block table that is too short or
  // names a block outside the cache, an adapter that is not loaded, a state slot that does not
  // exist; or a memory of another model. Two chunks of a step must not write the same block or
  // state slot.
  absl::Status Step(absl::Span<const SequenceChunk> chunks, StepMemory memory, StepOutput& output);

  // As Step, with logits only.
  absl::Status Forward(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                       std::vector<float>& logits);

  // As Forward, but the rows are final-normed hidden states [num_rows, hidden_size].
  absl::Status ForwardHidden(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                             std::vector<float>& hidden);

  // As Forward, and shows every intermediate to `observer`.
  absl::Status ForwardObserved(absl::Span<const SequenceChunk> chunks, StepMemory memory,
                               std::vector<float>& logits, CpuObserver observer);

  // Whether Draft can be called: draft_head was asked for and the weights have one.
  bool has_draft_head() const { return weights_.mtp.has_value(); }

  // Lets the draft head guess one token further than Step has computed: writes the chunks' places
  // in the draft layer's cache and sets output.logits [rows, output_dim] to its predictions of the
  // tokens after chunk.next_tokens, and output.hidden [rows, hidden_size] to the states from which
  // it may guess once more. The head has to see every position of a sequence in order; positions
  // that turned out wrong are simply written again. Bits are independent of the batch as in Step.
  // FailedPrecondition: no draft head. InvalidArgument as Step, or hidden states that are not one
  // row per token. LoRA adapters do not reach it.
  absl::Status Draft(absl::Span<const DraftChunk> chunks, PagedKvCache& cache, StepOutput& output);

  // As Draft, and shows the observer what models/qwen/mtp.h says.
  absl::Status DraftObserved(absl::Span<const DraftChunk> chunks, PagedKvCache& cache,
                             StepOutput& output, CpuObserver observer);

  // What the ops keep of the last sparse or linear layer that they computed, for observers.
  const CpuOps& ops() const { return ops_; }

  // Times every op of the steps of so many tokens from now on, starting from zero; until
  // StopProfile(). Neither during a step.
  void StartProfile(int64_t num_tokens_min, int64_t num_tokens_max) {
    ops_.profile().Start(num_tokens_min, num_tokens_max, context_.threads());
  }
  void StopProfile() { ops_.profile().Stop(context_.threads()); }
  const OpProfile& profile() { return ops_.profile(); }

  // The threads that steps run on; they idle between steps.
  kernels::ThreadPool& threads() { return context_.threads(); }

 private:
  static absl::StatusOr<std::unique_ptr<CpuModel>> Bind(ModelConfig config,
                                                        std::shared_ptr<const WeightSource> source,
                                                        const CpuModelOptions& options,
                                                        std::shared_ptr<WeightCache> cache);
  CpuModel(ModelConfig config, std::shared_ptr<const WeightSource> source,
           const CpuModelOptions& options);
  absl::Status CheckStep(absl::Span<const SequenceChunk> chunks, const StepMemory& memory);
  absl::Status CheckStates(absl::Span<const SequenceChunk> chunks, const RecurrentState& state);
  // Sets draft_chunks_ to a step whose tokens are the next tokens, and draft_hidden_.
  absl::Status TakeDrafts(absl::Span<const DraftChunk> chunks, const PagedKvCache& cache);
  // Takes the adapters of this moment. InvalidArgument: a chunk names one that is not there.
  absl::Status TakeAdapters(absl::Span<const SequenceChunk> chunks);
  // Flattens the chunks into the step's vectors.
  CpuBatch FlattenStep(absl::Span<const SequenceChunk> chunks, const StepMemory& memory);
  void FlattenChunk(const SequenceChunk& chunk, const CpuLora* adapter, int64_t block_tokens);
  // Runs the layers; the result is the final hidden states.
  template <typename Observer>
  CpuTensor RunLayers(absl::Span<const SequenceChunk> chunks, const StepMemory& memory,
                      Observer observer);
  void GatherRows(const CpuTensor& hidden, const std::vector<int64_t>& rows,
                  std::vector<float>& out) const;
  // logits [rows_, output_dim] of `hidden`.
  void ApplyHead(const CpuTensor& hidden, std::vector<float>& logits);

  const ModelConfig config_;
  const std::shared_ptr<const WeightSource> source_;  // mapped: the embedding is read in place
  const CpuModelOptions options_;
  kernels::KernelContext context_;
  CpuOps ops_;
  CpuWeights weights_;
  std::unique_ptr<AdapterSet> adapters_;

  std::shared_ptr<const AdapterTable> adapter_table_;  // of the step
  std::vector<int32_t> tokens_, positions_, seq_start_, context_len_, block_table_;
  RecurrentStep recurrent_;
  std::vector<int32_t> written_slots_;  // state slots of the step, sorted
  std::vector<SequenceChunk> draft_chunks_;
  std::vector<float> draft_hidden_;  // [T, hidden_size] of Draft
  std::vector<int64_t> slots_, prompt_tokens_;
  std::vector<const CpuLora*> chunk_adapters_, token_adapters_, row_adapters_;
  std::vector<int64_t> rows_;         // step rows that get logits
  std::vector<int64_t> hidden_rows_;  // step rows whose hidden state is wanted
  std::vector<float> selected_;       // [rows_, hidden_size]
};

}  // namespace oneai::models
