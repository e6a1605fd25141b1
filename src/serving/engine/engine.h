// File: serving/engine/engine.h
//
// The inference engine: one thread that takes requests, plans a batch, runs the model, samples and
// streams, step after step.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "serving/engine/adapter_table.h"
#include "serving/engine/drafter.h"
#include "serving/engine/engine_observer.h"
#include "serving/engine/generation_stream.h"
#include "serving/engine/model_runner.h"
#include "serving/engine/request.h"
#include "serving/engine/sequence.h"
#include "serving/engine/step_cost.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/scheduler/block_file.h"
#include "serving/scheduler/block_pool.h"
#include "serving/scheduler/step_budget.h"
#include "serving/scheduler/state_pool.h"
#include "serving/scheduler/tenant_ledger.h"

namespace oneai::serving {

enum class Speculation {
  kOff,
  kPromptLookup,  // guesses from the sequence's own text
  kDraftModel,    // guesses by the draft model
  kMtp,           // guesses by the model's own multi-token-prediction head
  kAuto,          // kMtp where the model has such a head, else kOff
};

struct EngineOptions {
  int64_t max_context_tokens = 4096;  // prompt and output of one request
  int64_t max_batch_tokens =
      512;  // computed a step: larger is better for throughput, worse for the time between tokens
  int64_t max_running_sequences = 32;  // at most max_batch_tokens
  int64_t max_waiting_requests = 256;  // refused beyond
  int64_t pending_tokens_max = 256;    // unread tokens of one request, from which on it is paused
  absl::Duration slow_reader_timeout =
      absl::Seconds(60);  // paused for this long: ended with RESOURCE_EXHAUSTED
  absl::Duration starvation_bound =
      absl::Seconds(30);  // waited for this long: next, whatever tenant and priority

  // A step that decodes computes no more prompt tokens beside than take so long, as measured: less
  // is a steadier time between tokens, more a shorter one to the first.
  absl::Duration prompt_time_beside_decodes = absl::Milliseconds(150);

  bool prefix_cache = true;
  std::filesystem::path cache_folder;  // of the cache's file; empty: none
  int64_t cache_file_bytes_max = 0;    // of the cache's file; at least one block if there is one
  Speculation speculation = Speculation::kOff;
  int64_t draft_tokens_max = 6;  // guesses a sequence and step
  // What one more row costs in the step of a single sequence, as a share of it; unset: measured. It
  // decides how many guesses are made, and nothing about the answers.
  std::optional<double> draft_row_cost;
  // Of models with recurrent layers: the prefix cache keeps their state after every so many tokens
  // of a prompt, beside its last whole block and the places where prompts part; at least one block.
  int64_t state_interval_tokens = 1024;
};

// What the engine holds now, and has done since the start.
struct EngineStats {
  int64_t num_running = 0;  // sequences
  int64_t num_waiting = 0;  // sequences
  int64_t num_blocks = 0;
  int64_t num_free_blocks = 0;    // held by no sequence
  int64_t num_cached_blocks = 0;  // findable in the prefix cache
  int64_t num_file_blocks = 0;    // findable in the cache's file
  int64_t num_states = 0;         // slots of recurrent state
  int64_t num_free_states = 0;    // of them, held by no sequence
  int64_t num_cached_states = 0;  // of them, findable in the prefix cache
  int64_t num_preemptions = 0;
  int64_t num_steps = 0;
  bool has_prefix_cache = false;
  Speculation speculation = Speculation::kOff;  // what kAuto has become
  int64_t num_prefix_queries = 0;               // prompt tokens looked up
  int64_t num_prefix_hits = 0;                  // of them, found
  int64_t num_draft_tokens = 0;                 // guesses verified
  int64_t num_accepted_tokens = 0;              // of them, right
  double draft_row_cost = 0;  // as in EngineOptions, or what has been measured
};

// Thread-safe.
class Engine {
 public:
  // `draft` is the model of Speculation::kDraftModel, else null; see CheckSameTokens. `observer`
  // (may be null), `clock` and the tokenizer of `tokens` must outlive the engine. kInvalidArgument:
  // an option out of range, a cache that cannot hold one sequence of max_context_tokens, a draft
  // model or head missing, a draft model superfluous or unfit. Otherwise as BlockFile::Create.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      EngineOptions options, std::unique_ptr<ModelRunner> runner, TokenTable tokens,
      EngineObserver* observer, const Clock* clock, std::unique_ptr<ModelRunner> draft = nullptr);
  // Stops.
  ~Engine();

  // Queues a request; its answers come through the stream, the event that ends the request always.
  // kInvalidArgument: a parameter, an empty prompt, an id outside the vocabulary, prompt +
  // max_tokens beyond the context, or a kind of answer that the model does not give. kNotFound: no
  // such adapter. kResourceExhausted: the queue is full. kUnavailable: draining. A request that
  // fails later ends its stream with the status: kDeadlineExceeded, kCancelled, kUnavailable
  // (stopped while draining), kResourceExhausted (slow reader), kInternal (the model failed).
  absl::StatusOr<std::shared_ptr<GenerationStream>> Submit(GenerationRequest request);

  // Loads a LoRA adapter, while steps go on, and returns its number for GenerationRequest::adapter.
  // Errors: those of ModelRunner::LoadAdapter.
  absl::StatusOr<int32_t> LoadAdapter(const std::filesystem::path& folder);
  // From now on requests for it are refused; returns once those that use it have ended and it is
  // unloaded. kNotFound: no such adapter.
  absl::Status UnloadAdapter(int32_t adapter);

  // From now on Submit refuses; what was accepted goes on.
  void Drain();
  // Ends what is left with kUnavailable and joins the thread. Idempotent.
  void Stop();

  EngineStats stats() const;
  const EngineOptions& options() const { return options_; }

 private:
  using SequenceMap = absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>>;
  using RequestMap = absl::flat_hash_map<int64_t, std::unique_ptr<ActiveRequest>>;

  struct Arrival {
    std::unique_ptr<ActiveRequest> request;
    std::unique_ptr<Sequence> sequence;  // its first choice
  };
  // A chunk of the step: which tokens, and which rows of the output are its own.
  struct StepChunk {
    SequenceId id;
    Sequence* sequence;
    int64_t start;            // position of the first token
    int64_t num_tokens;       // without drafts
    int64_t first_token = 0;  // in step_tokens_
    int64_t num_rows = 0;
    int64_t first_row = 0;
    int64_t num_hidden = 0;  // rows of hidden states
    int64_t first_hidden = 0;
  };

  Engine(EngineOptions options, std::unique_ptr<ModelRunner> runner, TokenTable tokens,
         EngineObserver* observer, const Clock* clock, std::unique_ptr<ModelRunner> draft,
         std::unique_ptr<BlockFile> file);
  absl::Status Enqueue(Arrival arrival);

  // --- the engine thread: engine.cc ---
  void Run();
  bool TakeInbox();
  void DropAbandoned(absl::Time now);
  void MakeView(absl::Time now);
  void Apply(const BatchPlan& plan, absl::Time now);
  void Admit(absl::Span<const SequenceId> ids, absl::Time now);
  void EndRequest(int64_t number, const absl::Status& status);
  void Release(Sequence& sequence);
  void Report(const ActiveRequest& request);
  void PublishStats();
  absl::Time NextWakeUp(absl::Time now) const;

  // --- the prefix cache: engine_cache.cc ---
  bool UsesCache(const Sequence& sequence) const;
  absl::Span<const BlockHash> ChainOf(Sequence& sequence, int64_t num_blocks);
  void LookUp(Sequence& sequence, SequenceView& view);
  void AdoptBlocks(Sequence& sequence, PrefixMatch& match);
  void ReadBlocks(Sequence& sequence, int64_t num_blocks);
  void ReconcileState(Sequence& sequence);
  void PublishBlocks(Sequence& sequence);

  // --- recurrent states: engine_state.cc ---
  bool has_state() const { return states_.num_slots() > 0; }
  int64_t BestState(Sequence& sequence, int64_t num_tokens_max);
  bool TakeState(Sequence& sequence);
  bool RestoreState(Sequence& sequence, int64_t num_tokens);
  void PlanStates(Sequence& sequence, int64_t num_tokens);
  bool IsLandmark(const Sequence& sequence, int64_t num_tokens) const;
  void RollBack(Sequence& sequence);
  void KeepStates(Sequence& sequence);
  void KeepState(Sequence& sequence, StateAt state);
  void GiveStates(Sequence& sequence);

  // --- one step: engine_step.cc ---
  void Execute(const BatchPlan& plan);
  void Propose(absl::Span<const PlannedChunk> chunks);
  void LearnCost(absl::Duration proposing, absl::Duration computing);
  absl::Status Forward(absl::Span<StepChunk> chunks);
  absl::Status LayOutStep(absl::Span<StepChunk> chunks);
  void MakeBatch(absl::Span<const StepChunk> chunks);
  void ForwardEachAlone(absl::Span<StepChunk> chunks);
  absl::Status Recompute(Sequence& sequence);
  void Advance(absl::Span<StepChunk> chunks);
  void ChooseTokens(absl::Span<const StepChunk> chunks);
  void AdvanceOne(Sequence& sequence, const StepChunk& chunk);
  void ShowHidden(const Sequence& sequence, const StepChunk& chunk, int64_t begin, int64_t end);
  bool ShowsHidden(const Sequence& sequence) const;
  void Score(Sequence& sequence, const StepChunk& chunk);
  void Answer(Sequence& sequence, const StepChunk& chunk);
  // False: the sequence is no more.
  bool Verify(Sequence& sequence, const StepChunk& chunk);
  bool Fork(Sequence& leader, absl::Span<const float> logits);
  bool ShareBlocks(const Sequence& leader, Sequence& fork);
  // False: the sequence is no more.
  bool Sample(Sequence& sequence, absl::Span<float> logits);
  void FinishSequence(Sequence& sequence);
  absl::Span<float> Row(int64_t row);

  const EngineOptions options_;
  const std::unique_ptr<ModelRunner> runner_;
  const TokenTable tokens_;
  EngineObserver* const observer_;
  const Clock* const clock_;
  const std::shared_ptr<EngineBell> bell_;
  const HashKey hash_key_;
  AdapterTable adapters_;  // thread-safe
  std::atomic<int64_t> num_submitted_ = 0;

  // Of the engine thread alone.
  std::unique_ptr<Drafter> drafter_;       // null: no speculation
  const std::unique_ptr<BlockFile> file_;  // null: none
  BlockPool pool_;
  TenantLedger ledger_;
  RequestMap requests_;
  SequenceMap sequences_;
  StatePool states_;
  std::vector<SequenceId> running_, waiting_;
  StepCost cost_;
  double share_right_ = kShareRightAtFirst;  // of guesses, of all sequences
  StepBudget budget_;
  SchedulerView view_;
  absl::flat_hash_map<SequenceId, PrefixMatch>
      matches_;  // of waiting ones, in blocks of both tiers
  std::vector<StepChunk> step_chunks_;
  std::vector<int32_t> step_tokens_;
  std::vector<DraftJob> draft_jobs_;
  std::vector<RunnerChunk> batch_;
  std::vector<int32_t> batch_snapshots_;  // of all chunks of batch_
  std::vector<RunnerCheckpoint> batch_checkpoints_;
  RunnerOutput output_;
  std::vector<float> fork_row_;
  std::vector<const StepChunk*> to_choose_;
  std::vector<kernels::SamplingScratch> scratch_{size_t{1}};  // by thread
  StepReport step_;
  EngineStats counts_;  // what is counted from the start

  mutable absl::Mutex mu_;
  std::vector<Arrival> inbox_ ABSL_GUARDED_BY(mu_);
  EngineStats stats_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace oneai::serving
