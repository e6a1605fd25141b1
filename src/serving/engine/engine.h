// File: serving/engine/engine.h
//
// The inference engine: one thread that takes requests, plans a batch, runs the model, samples and
// streams, step after step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "serving/engine/engine_observer.h"
#include "serving/engine/generation_stream.h"
#include "serving/engine/model_runner.h"
#include "serving/engine/sequence.h"
#include "serving/scheduler/batch_plan.h"
#include "serving/scheduler/block_pool.h"
#include "serving/scheduler/tenant_ledger.h"

namespace oneai::serving {

struct EngineOptions {
  int64_t max_context_tokens = 4096;  // prompt and output of one request
  int64_t max_batch_tokens =
      512;  // computed a step: larger is better for throughput, worse for the time between tokens
  int64_t max_running_sequences = 32;  // at most max_batch_tokens
  int64_t max_waiting_requests = 256;  // refused beyond
  int64_t pending_tokens_max = 256;    // unread tokens of one answer, from which on it is paused
  absl::Duration slow_reader_timeout =
      absl::Seconds(60);  // paused for this long: ended with RESOURCE_EXHAUSTED
};

// What the engine holds now.
struct EngineStats {
  int64_t num_running = 0;
  int64_t num_waiting = 0;
  int64_t num_blocks = 0;
  int64_t num_free_blocks = 0;
  int64_t num_preemptions = 0;  // since the start
  int64_t num_steps = 0;        // since the start
};

// Thread-safe.
class Engine {
 public:
  // `observer` (may be null), `clock` and the tokenizer of `tokens` must outlive the engine.
  // kInvalidArgument: an option out of range, or a cache that cannot hold one sequence of
  // max_context_tokens.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options,
                                                        std::unique_ptr<ModelRunner> runner,
                                                        TokenTable tokens, EngineObserver* observer,
                                                        const Clock* clock);
  // Stops.
  ~Engine();

  // Queues a request; its answer comes through the stream, the last event always. kInvalidArgument:
  // a parameter, an empty prompt, an id outside the vocabulary, or prompt + max_tokens beyond the
  // context. kResourceExhausted: the queue is full. kUnavailable: draining. A request that fails
  // later ends its stream with the status: kDeadlineExceeded, kCancelled, kUnavailable (stopped
  // while draining), kResourceExhausted (slow reader), kInternal (the model failed).
  absl::StatusOr<std::shared_ptr<GenerationStream>> Submit(GenerationRequest request);

  // From now on Submit refuses; what was accepted goes on.
  void Drain();
  // Ends what is left with kUnavailable and joins the thread. Idempotent.
  void Stop();

  EngineStats stats() const;
  const EngineOptions& options() const { return options_; }

 private:
  using SequenceMap = absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>>;

  Engine(EngineOptions options, std::unique_ptr<ModelRunner> runner, TokenTable tokens,
         EngineObserver* observer, const Clock* clock);
  absl::Status CheckRequest(const GenerationRequest& request) const;

  // The engine thread.
  void Run();
  bool TakeInbox();
  void DropAbandoned(absl::Time now);
  SchedulerView MakeView(absl::Time now) const;
  void Apply(const BatchPlan& plan, absl::Time now);
  void Execute(const BatchPlan& plan);
  absl::Status Forward(absl::Span<const PlannedChunk> chunks);
  void ForwardEachAlone(absl::Span<const PlannedChunk> chunks);
  void Advance(absl::Span<const PlannedChunk> chunks);
  void Sample(Sequence& sequence, absl::Span<float> logits);
  void Finish(SequenceId id, const absl::Status& status);
  void PublishStats();
  absl::Time NextWakeUp(absl::Time now) const;

  const EngineOptions options_;
  const std::unique_ptr<ModelRunner> runner_;
  const TokenTable tokens_;
  EngineObserver* const observer_;
  const Clock* const clock_;
  const std::shared_ptr<EngineBell> bell_;

  // Of the engine thread alone.
  BlockPool pool_;
  TenantLedger ledger_;
  SequenceMap sequences_;
  std::vector<SequenceId> running_, waiting_;
  std::vector<float> logits_;
  kernels::SamplingScratch scratch_;
  StepReport step_;
  int64_t num_preemptions_ = 0;
  int64_t num_steps_ = 0;

  mutable absl::Mutex mu_;
  std::vector<std::unique_ptr<Sequence>> inbox_ ABSL_GUARDED_BY(mu_);
  EngineStats stats_ ABSL_GUARDED_BY(mu_);
  int64_t num_submitted_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace oneai::serving
