#include "serving/engine/engine.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

bool Paused(const Sequence& s) { return s.paused_since != absl::InfiniteFuture(); }

void Remove(std::vector<SequenceId>& from, SequenceId id) {
  from.erase(std::remove(from.begin(), from.end(), id), from.end());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options,
                                                       std::unique_ptr<ModelRunner> runner,
                                                       TokenTable tokens, EngineObserver* observer,
                                                       const Clock* clock) {
  if (options.max_context_tokens < 2 || options.max_waiting_requests < 1 ||
      options.pending_tokens_max < 1) {
    return absl::InvalidArgumentError(
        "max_context_tokens must be at least 2, max_waiting_requests and pending_tokens_max at "
        "least 1");
  }
  if (options.max_running_sequences < 1 ||
      options.max_batch_tokens < options.max_running_sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_running_sequences is ", options.max_running_sequences,
                     "; it must be from 1 to max_batch_tokens, ", options.max_batch_tokens));
  }
  const int64_t cached = runner->num_blocks() * runner->block_tokens();
  if (cached < options.max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the KV cache holds ", cached, " tokens, fewer than max_context_tokens, ",
        options.max_context_tokens, "; raise kv_cache_bytes or lower max_context_tokens"));
  }
  auto engine = std::unique_ptr<Engine>(
      new Engine(options, std::move(runner), std::move(tokens), observer, clock));
  engine->PublishStats();
  engine->thread_ = std::thread([e = engine.get()] { e->Run(); });
  return engine;
}

Engine::Engine(EngineOptions options, std::unique_ptr<ModelRunner> runner, TokenTable tokens,
               EngineObserver* observer, const Clock* clock)
    : options_(options),
      runner_(std::move(runner)),
      tokens_(std::move(tokens)),
      observer_(observer),
      clock_(clock),
      bell_(std::make_shared<EngineBell>()),
      pool_(runner_->num_blocks(), runner_->block_tokens()) {}

Engine::~Engine() { Stop(); }

absl::Status Engine::CheckRequest(const GenerationRequest& request) const {
  RETURN_IF_ERROR(ValidateSampling(request.sampling));
  if (request.prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty; it must hold at least one token");
  }
  for (int32_t id : request.prompt) {
    if (id < 0 || id >= runner_->vocab_size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the prompt holds token id ", id, "; the model knows 0 to ", runner_->vocab_size() - 1));
    }
  }
  const int64_t num_prompt = static_cast<int64_t>(request.prompt.size());
  // Compared by subtraction: max_tokens may be as large as an int64.
  if (num_prompt >= options_.max_context_tokens ||
      request.sampling.max_tokens > options_.max_context_tokens - num_prompt) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the prompt has ", num_prompt, " tokens and max_tokens is ", request.sampling.max_tokens,
        "; together they must not exceed the context of ", options_.max_context_tokens, " tokens"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<GenerationStream>> Engine::Submit(GenerationRequest request) {
  RETURN_IF_ERROR(CheckRequest(request));
  auto stream = std::make_shared<GenerationStream>(bell_, options_.pending_tokens_max);
  {
    absl::MutexLock lock(&mu_);
    if (draining_) {
      return absl::UnavailableError("this replica is draining; ask another one");
    }
    const int64_t num_waiting = stats_.num_waiting + static_cast<int64_t>(inbox_.size());
    if (num_waiting >= options_.max_waiting_requests) {
      return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", num_waiting,
                                                       " requests wait, ", stats_.num_running,
                                                       " run; retry in a second"));
    }
    const int64_t number = num_submitted_++;
    inbox_.push_back(std::make_unique<Sequence>(SequenceId{number}, number, std::move(request),
                                                tokens_, stream, clock_->Now()));
  }
  bell_->Ring();
  return stream;
}

void Engine::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
}

void Engine::Stop() {
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    stopping_ = true;
  }
  bell_->Ring();
  if (thread_.joinable()) thread_.join();
}

EngineStats Engine::stats() const {
  absl::MutexLock lock(&mu_);
  return stats_;
}

void Engine::Run() {
  while (TakeInbox()) {
    const absl::Time now = clock_->Now();
    DropAbandoned(now);
    const BatchPlan plan =
        PlanBatch(MakeView(now), {options_.max_batch_tokens, options_.max_running_sequences});
    Apply(plan, now);
    PublishStats();
    if (plan.chunks.empty()) {
      bell_->WaitFor(NextWakeUp(now) - now);
      continue;
    }
    Execute(plan);
    PublishStats();
  }
  while (!sequences_.empty()) {
    Finish(sequences_.begin()->first,
           absl::UnavailableError("this replica has stopped; ask another one"));
  }
  PublishStats();
}

// Moves new requests into the queue. False: the engine is to stop.
bool Engine::TakeInbox() {
  absl::MutexLock lock(&mu_);
  for (std::unique_ptr<Sequence>& sequence : inbox_) {
    sequence->tenant = ledger_.Enter(sequence->request.tenant);
    waiting_.push_back(sequence->id);
    sequences_.emplace(sequence->id, std::move(sequence));
  }
  inbox_.clear();
  stats_.num_waiting = static_cast<int64_t>(waiting_.size());
  return !stopping_;
}

// Ends the answers whose reader has gone, and pauses or ends those whose reader is behind.
void Engine::DropAbandoned(absl::Time now) {
  std::vector<std::pair<SequenceId, absl::Status>> dropped;
  for (auto& [id, sequence] : sequences_) {
    if (sequence->stream->cancelled()) {
      dropped.emplace_back(id, absl::CancelledError("the reader cancelled"));
    } else if (!sequence->stream->full()) {
      sequence->paused_since = absl::InfiniteFuture();
    } else if (!Paused(*sequence)) {
      sequence->paused_since = now;
    } else if (now - sequence->paused_since >= options_.slow_reader_timeout) {
      dropped.emplace_back(
          id, absl::ResourceExhaustedError(absl::StrCat(
                  "the reader left ", options_.pending_tokens_max, " tokens unread for ",
                  absl::FormatDuration(options_.slow_reader_timeout))));
    }
  }
  for (const auto& [id, status] : dropped) Finish(id, status);
}

SchedulerView Engine::MakeView(absl::Time now) const {
  SchedulerView view;
  view.now = now;
  view.num_free_blocks = pool_.num_free();
  view.block_tokens = pool_.block_tokens();
  view.tenant_service = ledger_.service();
  for (SequenceId id : running_) {
    SequenceView sequence = sequences_.at(id)->View();
    sequence.num_blocks = static_cast<int64_t>(pool_.BlockTable(id).size());
    view.running.push_back(sequence);
  }
  for (SequenceId id : waiting_) view.waiting.push_back(sequences_.at(id)->View());
  return view;
}

void Engine::Apply(const BatchPlan& plan, absl::Time now) {
  for (SequenceId id : plan.expired) {
    const TokenUsage usage = sequences_.at(id)->Usage();
    Finish(id, absl::DeadlineExceededError(absl::StrCat(
                   "the deadline passed after ", usage.num_completion_tokens, " output tokens")));
  }
  for (SequenceId id : plan.preempted) {
    Sequence& sequence = *sequences_.at(id);
    pool_.Release(id);
    sequence.num_computed = 0;
    sequence.resumed = true;
    Remove(running_, id);
    waiting_.push_back(id);
  }
  num_preemptions_ += static_cast<int64_t>(plan.preempted.size());
  for (SequenceId id : plan.admitted) {
    Sequence& sequence = *sequences_.at(id);
    if (!sequence.resumed) {
      sequence.admitted = now;
      ledger_.Charge(sequence.tenant,
                     static_cast<int64_t>(sequence.tokens.size()) * kPromptTokenCost);
    }
    Remove(waiting_, id);
    running_.push_back(id);
  }
  step_ = StepReport{};
  step_.num_preempted = static_cast<int64_t>(plan.preempted.size());
}

void Engine::Execute(const BatchPlan& plan) {
  const absl::Time start = clock_->Now();
  if (Forward(plan.chunks).ok()) {
    step_.forward_time = clock_->Now() - start;
    Advance(plan.chunks);
  } else {
    ForwardEachAlone(plan.chunks);
    step_.forward_time = clock_->Now() - start;
  }
  ++num_steps_;
  if (observer_ != nullptr) observer_->OnStep(step_);
}

// Runs the model over `chunks`. A failure has changed nothing but cache contents that are written
// again.
absl::Status Engine::Forward(absl::Span<const PlannedChunk> chunks) {
  std::vector<RunnerChunk> batch;
  batch.reserve(chunks.size());
  for (const PlannedChunk& chunk : chunks) {
    const Sequence& sequence = *sequences_.at(chunk.id);
    const int64_t end = sequence.num_computed + chunk.num_tokens;
    RETURN_IF_ERROR(pool_.Grow(chunk.id, end));
    batch.push_back({sequence.NextTokens(chunk.num_tokens),
                     sequence.num_computed,
                     {},
                     end == static_cast<int64_t>(sequence.tokens.size()) ? 1 : 0});
  }
  // Only now: Grow moves tables.
  for (size_t i = 0; i < chunks.size(); ++i) batch[i].block_table = pool_.BlockTable(chunks[i].id);
  try {
    return runner_->Forward(batch, logits_);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("the model threw: ", error.what()));
  }
}

// After a failed step: one request may be the cause, the others must not suffer for it.
void Engine::ForwardEachAlone(absl::Span<const PlannedChunk> chunks) {
  for (const PlannedChunk& chunk : chunks) {
    const absl::Status status = Forward({&chunk, 1});
    if (status.ok()) {
      Advance({&chunk, 1});
    } else {
      Log::Error("model step failed", {{"tokens", chunk.num_tokens}, {"status", status}});
      Finish(chunk.id, absl::InternalError(absl::StrCat("the model failed: ", status.message())));
    }
  }
}

// Counts what was computed and samples where a sequence has reached its last token.
void Engine::Advance(absl::Span<const PlannedChunk> chunks) {
  int64_t row = 0;
  for (const PlannedChunk& chunk : chunks) {
    Sequence& sequence = *sequences_.at(chunk.id);
    const int64_t num_prompt = static_cast<int64_t>(sequence.request.prompt.size());
    step_.num_batch_tokens += chunk.num_tokens;
    if (!sequence.resumed) {
      step_.num_prompt_tokens +=
          std::clamp<int64_t>(num_prompt - sequence.num_computed, 0, chunk.num_tokens);
    }
    sequence.num_computed += chunk.num_tokens;
    if (sequence.num_computed < static_cast<int64_t>(sequence.tokens.size())) continue;
    Sample(sequence,
           absl::MakeSpan(logits_).subspan(row * runner_->vocab_size(), runner_->vocab_size()));
    ++row;
  }
}

void Engine::Sample(Sequence& sequence, absl::Span<float> logits) {
  const absl::StatusOr<bool> done = sequence.AddToken(logits, scratch_);
  if (!done.ok()) {
    Finish(sequence.id, done.status());
    return;
  }
  ++step_.num_output_tokens;
  ledger_.Charge(sequence.tenant, kOutputTokenCost);
  const absl::Time now = clock_->Now();
  if (sequence.first_token == absl::InfiniteFuture()) {
    sequence.first_token = now;
    if (observer_ != nullptr) observer_->OnFirstToken(now - sequence.submitted);
  } else if (observer_ != nullptr) {
    observer_->OnNextToken(now - sequence.last_token);
  }
  sequence.last_token = now;
  if (*done) Finish(sequence.id, absl::OkStatus());
}

void Engine::Finish(SequenceId id, const absl::Status& status) {
  auto node = sequences_.extract(id);
  Sequence& sequence = *node.mapped();
  pool_.Release(id);
  Remove(running_, id);
  Remove(waiting_, id);
  ledger_.Leave(sequence.tenant);
  // Before the reader learns of the end, so that it sees its blocks free.
  PublishStats();
  sequence.Finish(status);
  if (observer_ == nullptr) return;
  const auto since = [&](absl::Time t) {
    return t == absl::InfiniteFuture() ? absl::ZeroDuration() : t - sequence.submitted;
  };
  observer_->OnFinished({sequence.finish_reason(), sequence.Usage(),
                         sequence.request.sampling.max_tokens, since(sequence.admitted),
                         since(sequence.first_token), clock_->Now() - sequence.submitted});
}

void Engine::PublishStats() {
  absl::MutexLock lock(&mu_);
  stats_.num_running = static_cast<int64_t>(running_.size());
  stats_.num_waiting = static_cast<int64_t>(waiting_.size());
  stats_.num_blocks = pool_.num_blocks();
  stats_.num_free_blocks = pool_.num_free();
  stats_.num_preemptions = num_preemptions_;
  stats_.num_steps = num_steps_;
}

// Nothing can be computed: only a request, a reader, a deadline or a reader's time-out changes
// that.
absl::Time Engine::NextWakeUp(absl::Time now) const {
  absl::Time next = now + absl::Seconds(3600);
  for (const auto& [id, sequence] : sequences_) {
    next = std::min(next, sequence->request.deadline);
    if (Paused(*sequence))
      next = std::min(next, sequence->paused_since + options_.slow_reader_timeout);
  }
  return next;
}

}  // namespace oneai::serving
