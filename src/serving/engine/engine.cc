#include "serving/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/status.h"
#include "serving/engine/engine_checks.h"
#include "serving/engine/model_drafter.h"
#include "serving/engine/mtp_drafter.h"
#include "serving/engine/prompt_lookup.h"

namespace oneai::serving {
namespace {

bool Paused(const ActiveRequest& r) { return r.paused_since != absl::InfiniteFuture(); }

void Remove(std::vector<SequenceId>& from, SequenceId id) {
  from.erase(std::remove(from.begin(), from.end(), id), from.end());
}

// What a row costs until it is measured.
constexpr double kDraftRowCostAtFirst = 0.1;

std::unique_ptr<Drafter> NewDrafter(const EngineOptions& options, ModelRunner* runner,
                                    std::unique_ptr<ModelRunner> draft) {
  switch (options.speculation) {
    case Speculation::kOff:
    case Speculation::kAuto:
      return nullptr;
    case Speculation::kMtp:
      return std::make_unique<MtpDrafter>(runner);
    case Speculation::kPromptLookup:
      return std::make_unique<PromptLookup>();
    case Speculation::kDraftModel:
      return std::make_unique<ModelDrafter>(std::move(draft), options.max_batch_tokens);
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options,
                                                       std::unique_ptr<ModelRunner> runner,
                                                       TokenTable tokens, EngineObserver* observer,
                                                       const Clock* clock,
                                                       std::unique_ptr<ModelRunner> draft) {
  RETURN_IF_ERROR(CheckOptions(options, *runner, tokens, draft.get()));
  if (runner->num_state_slots() > 0) {
    options.max_running_sequences =
        std::min(options.max_running_sequences, runner->num_state_slots());
  }
  if (options.speculation == Speculation::kAuto) {
    const bool can_guess = runner->has_draft_head() && runner->generates_text();
    options.speculation = can_guess ? Speculation::kMtp : Speculation::kOff;
  }
  std::unique_ptr<BlockFile> file;
  if (options.prefix_cache && !options.cache_folder.empty() && !runner->BlockBytes(0).empty()) {
    ASSIGN_OR_RETURN(file, BlockFile::Create(options.cache_folder,
                                             static_cast<int64_t>(runner->BlockBytes(0).size()),
                                             options.cache_file_bytes_max));
  }
  auto engine =
      std::unique_ptr<Engine>(new Engine(options, std::move(runner), std::move(tokens), observer,
                                         clock, std::move(draft), std::move(file)));
  engine->PublishStats();
  engine->thread_ = std::thread([e = engine.get()] { e->Run(); });
  return engine;
}

Engine::Engine(EngineOptions options, std::unique_ptr<ModelRunner> runner, TokenTable tokens,
               EngineObserver* observer, const Clock* clock, std::unique_ptr<ModelRunner> draft,
               std::unique_ptr<BlockFile> file)
    : options_(std::move(options)),
      runner_(std::move(runner)),
      tokens_(std::move(tokens)),
      observer_(observer),
      clock_(clock),
      bell_(std::make_shared<EngineBell>()),
      hash_key_(RandomHashKey()),
      drafter_(NewDrafter(options_, runner_.get(), std::move(draft))),
      file_(std::move(file)),
      pool_(runner_->num_blocks(), runner_->block_tokens()),
      states_(runner_->num_state_slots()),
      cost_(options_.draft_row_cost.value_or(kDraftRowCostAtFirst)) {
  pool_.OnEvict([this](BlockId block, const BlockHash& hash) {
    if (file_ != nullptr) {
      file_->Put(hash, runner_->BlockBytes(block));
    } else {
      states_.Drop(hash);  // without its block nobody can use it
    }
  });
}

Engine::~Engine() { Stop(); }

absl::StatusOr<std::shared_ptr<GenerationStream>> Engine::Submit(GenerationRequest request) {
  RETURN_IF_ERROR(CheckRequest(request, options_.max_context_tokens, *runner_));
  const int32_t adapter = request.adapter;
  int64_t edition = -1;
  if (adapter >= 0) {
    ASSIGN_OR_RETURN(edition, adapters_.Enter(adapter));
  }
  auto stream = std::make_shared<GenerationStream>(bell_, options_.pending_tokens_max);
  // Outside the lock: a long prompt or a grammar takes its time.
  auto active = std::make_unique<ActiveRequest>(num_submitted_.fetch_add(1), std::move(request),
                                                stream, clock_->Now());
  active->adapter_edition = edition;
  auto sequence = std::make_unique<Sequence>(*active, 0, tokens_, options_.draft_tokens_max);
  const absl::Status refused = Enqueue({std::move(active), std::move(sequence)});
  if (!refused.ok()) {
    if (adapter >= 0) adapters_.Leave(adapter);
    return refused;
  }
  bell_->Ring();
  return stream;
}

absl::Status Engine::Enqueue(Arrival arrival) {
  absl::MutexLock lock(&mu_);
  const int64_t num_waiting = stats_.num_waiting + static_cast<int64_t>(inbox_.size());
  if (draining_) return absl::UnavailableError("this replica is draining; ask another one");
  if (num_waiting >= options_.max_waiting_requests) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", num_waiting,
                                                     " requests wait, ", stats_.num_running,
                                                     " run; retry in a second"));
  }
  inbox_.push_back(std::move(arrival));
  return absl::OkStatus();
}

absl::StatusOr<int32_t> Engine::LoadAdapter(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const int32_t adapter, runner_->LoadAdapter(folder));
  adapters_.Add(adapter);
  return adapter;
}

absl::Status Engine::UnloadAdapter(int32_t adapter) {
  RETURN_IF_ERROR(adapters_.Close(adapter));
  adapters_.AwaitUnused(adapter);
  adapters_.Remove(adapter);
  return runner_->UnloadAdapter(adapter);
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
    MakeView(now);
    const BatchPlan plan = PlanBatch(
        view_,
        {options_.max_batch_tokens, options_.max_running_sequences, options_.starvation_bound,
         budget_.TokensWithin(options_.prompt_time_beside_decodes, options_.max_batch_tokens)});
    Apply(plan, now);
    PublishStats();
    if (!plan.chunks.empty()) {
      Execute(plan);
      PublishStats();
    } else if (plan.preempted.empty() && plan.expired.empty()) {
      bell_->WaitFor(NextWakeUp(now) - now);
    }
  }
  while (!requests_.empty()) {
    EndRequest(requests_.begin()->first,
               absl::UnavailableError("this replica has stopped; ask another one"));
  }
  PublishStats();
}

// Moves new requests into the queue. False: the engine is to stop.
bool Engine::TakeInbox() {
  absl::MutexLock lock(&mu_);
  for (Arrival& arrival : inbox_) {
    arrival.request->tenant = ledger_.Enter(arrival.request->request.tenant);
    waiting_.push_back(arrival.sequence->id);
    sequences_.emplace(arrival.sequence->id, std::move(arrival.sequence));
    const int64_t number = arrival.request->number;
    requests_.emplace(number, std::move(arrival.request));
  }
  inbox_.clear();
  stats_.num_waiting = static_cast<int64_t>(waiting_.size());
  return !stopping_;
}

// Ends the requests whose reader has gone, and pauses or ends those whose reader is behind.
void Engine::DropAbandoned(absl::Time now) {
  std::vector<std::pair<int64_t, absl::Status>> dropped;
  for (auto& [number, request] : requests_) {
    if (request->stream->cancelled()) {
      dropped.emplace_back(number, absl::CancelledError("the reader cancelled"));
    } else if (!request->stream->full()) {
      request->paused_since = absl::InfiniteFuture();
    } else if (!Paused(*request)) {
      request->paused_since = now;
    } else if (now - request->paused_since >= options_.slow_reader_timeout) {
      dropped.emplace_back(
          number, absl::ResourceExhaustedError(absl::StrCat(
                      "the reader left ", options_.pending_tokens_max, " tokens unread for ",
                      absl::FormatDuration(options_.slow_reader_timeout))));
    }
  }
  for (const auto& [number, status] : dropped) EndRequest(number, status);
}

void Engine::MakeView(absl::Time now) {
  view_.now = now;
  view_.num_free_blocks = pool_.num_free();
  view_.block_tokens = pool_.block_tokens();
  view_.tenant_service.assign(ledger_.service().begin(), ledger_.service().end());
  view_.running.clear();
  view_.waiting.clear();
  matches_.clear();
  if (has_state()) view_.num_free_states = states_.num_free();
  const double draft_cost = cost_.DraftCost(static_cast<int64_t>(running_.size()));
  for (SequenceId id : running_) {
    Sequence& sequence = *sequences_.at(id);
    SequenceView view = sequence.View();
    view.num_blocks = static_cast<int64_t>(pool_.BlockTable(id).size());
    view.num_shared_blocks = pool_.NumShared(id);
    if (sequence.wants_prompt_scores()) view.chunk_tokens_max = kScoredChunkTokens;
    if (drafter_ != nullptr) view.num_drafts_max = DraftsFor(sequence, options_, draft_cost);
    view_.running.push_back(view);
  }
  const bool may_admit = static_cast<int64_t>(running_.size()) < options_.max_running_sequences;
  for (SequenceId id : waiting_) {
    Sequence& sequence = *sequences_.at(id);
    SequenceView view = sequence.View();
    if (sequence.wants_prompt_scores()) view.chunk_tokens_max = kScoredChunkTokens;
    if (may_admit) LookUp(sequence, view);
    view_.waiting.push_back(view);
  }
}

void Engine::Apply(const BatchPlan& plan, absl::Time now) {
  for (SequenceId id : plan.expired) {
    const auto it = sequences_.find(id);
    if (it == sequences_.end()) continue;  // another choice of a request that has just ended
    const ActiveRequest& request = it->second->owner;
    EndRequest(request.number, absl::DeadlineExceededError(absl::StrCat(
                                   "the deadline passed after ",
                                   request.usage.num_completion_tokens, " output tokens")));
  }
  for (SequenceId id : plan.preempted) {
    Sequence& sequence = *sequences_.at(id);
    Release(sequence);
    sequence.resumed = true;
    waiting_.push_back(id);
  }
  counts_.num_preemptions += static_cast<int64_t>(plan.preempted.size());
  Admit(plan.admitted, now);
  step_ = StepReport{};
  step_.num_preempted = static_cast<int64_t>(plan.preempted.size());
}

void Engine::Admit(absl::Span<const SequenceId> ids, absl::Time now) {
  // First all that is in memory, so that reading from the file evicts nothing that is wanted.
  for (SequenceId id : ids) AdoptBlocks(*sequences_.at(id), matches_[id]);
  for (SequenceId id : ids) {
    Sequence& sequence = *sequences_.at(id);
    ReadBlocks(sequence, matches_[id].num_blocks);
    ReconcileState(sequence);
    sequence.draft_length.Expect(share_right_);
    if (!sequence.resumed) {
      sequence.owner.admitted = now;
      sequence.owner.usage.num_cached_prompt_tokens = sequence.num_computed;
      if (UsesCache(sequence)) {
        counts_.num_prefix_queries += sequence.num_prompt();
        counts_.num_prefix_hits += sequence.num_computed;
      }
      ledger_.Charge(sequence.owner.tenant,
                     static_cast<int64_t>(sequence.tokens.size()) * kPromptTokenCost);
    }
    Remove(waiting_, id);
    running_.push_back(id);
  }
}

// Gives back what the sequence holds; it is neither running nor waiting then.
void Engine::Release(Sequence& sequence) {
  pool_.Release(sequence.id);
  GiveStates(sequence);
  if (sequence.state_slot >= 0) states_.Give(std::exchange(sequence.state_slot, -1));
  if (drafter_ != nullptr) drafter_->Forget(sequence.id);
  sequence.Reset();
  Remove(running_, sequence.id);
  Remove(waiting_, sequence.id);
}

void Engine::EndRequest(int64_t number, const absl::Status& status) {
  auto node = requests_.extract(number);
  ActiveRequest& request = *node.mapped();
  for (int32_t choice = 0; choice < request.request.best_of; ++choice) {
    const auto it = sequences_.find(IdOfChoice(number, choice));
    if (it == sequences_.end()) continue;
    Release(*it->second);
    sequences_.erase(it);
  }
  ledger_.Leave(request.tenant);
  // Before the reader learns of the end, so that it sees its blocks free.
  PublishStats();
  request.Fail(status);
  Report(request);
}

void Engine::Report(const ActiveRequest& request) {
  if (request.request.adapter >= 0) adapters_.Leave(request.request.adapter);
  if (observer_ == nullptr) return;
  const auto since = [&](absl::Time t) {
    return t == absl::InfiniteFuture() ? absl::ZeroDuration() : t - request.submitted;
  };
  observer_->OnFinished({request.finish_reason(), request.usage,
                         request.request.sampling.max_tokens, since(request.admitted),
                         since(request.first_token), clock_->Now() - request.submitted});
}

void Engine::PublishStats() {
  counts_.num_running = static_cast<int64_t>(running_.size());
  counts_.num_waiting = static_cast<int64_t>(waiting_.size());
  counts_.num_blocks = pool_.num_blocks();
  counts_.num_free_blocks = pool_.num_free();
  counts_.num_cached_blocks = pool_.num_cached();
  counts_.num_file_blocks = file_ == nullptr ? 0 : file_->num_blocks();
  counts_.num_states = states_.num_slots();
  counts_.num_free_states = states_.num_free();
  counts_.num_cached_states = states_.num_snapshots();
  counts_.has_prefix_cache = options_.prefix_cache;
  counts_.speculation = options_.speculation;
  counts_.draft_row_cost = cost_.row_cost();
  absl::MutexLock lock(&mu_);
  stats_ = counts_;
}

// Nothing can be computed: only a request, a reader, a deadline or a reader's time-out changes
// that.
absl::Time Engine::NextWakeUp(absl::Time now) const {
  absl::Time next = now + absl::Seconds(3600);
  for (const auto& [number, request] : requests_) {
    next = std::min(next, request->request.deadline);
    if (Paused(*request))
      next = std::min(next, request->paused_since + options_.slow_reader_timeout);
  }
  return next;
}

}  // namespace oneai::serving
