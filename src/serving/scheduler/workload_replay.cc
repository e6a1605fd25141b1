#include "serving/scheduler/workload_replay.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/scheduler/block_pool.h"
#include "serving/scheduler/state_pool.h"
#include "serving/scheduler/tenant_ledger.h"

namespace oneai::serving {
namespace {

// As a replica refuses more, and its clients come back.
constexpr int64_t kWaitingMax = 256;

struct Live {
  const RecordedRequest* recorded;
  int64_t tenant = 0;
  int64_t num_tokens = 0, num_computed = 0, num_published = 0;
  bool running = false, resumed = false;
  double first_token_s = -1, last_token_s = 0;
  std::vector<BlockHash> chain;  // of the prompt's whole blocks
  std::optional<int32_t> state;
  int64_t branch_blocks = 0;  // where other prompts parted from its own
};

double Percentile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const size_t i =
      std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(i), values.end());
  return values[i];
}

class Simulation {
 public:
  Simulation(absl::Span<const RecordedRequest> requests, const ReplayOptions& options)
      : requests_(requests),
        options_(options),
        pool_(options.num_blocks, options.block_tokens),
        states_(options.num_states) {}

  absl::StatusOr<ReplayReport> Run() {
    while (next_ < requests_.size() || !live_.empty()) {
      if (live_.empty()) now_s_ = std::max(now_s_, requests_[next_].arrival_s);
      Arrive();
      if (live_.empty()) continue;
      RETURN_IF_ERROR(Step());
    }
    if (pool_.num_free() != pool_.num_blocks()) return Broken("blocks were lost");
    if (states_.num_free() != states_.num_slots()) return Broken("states were lost");
    return Report();
  }

 private:
  absl::Status Broken(absl::string_view what) const {
    return absl::InternalError(absl::StrCat("step ", report_.num_steps, ": ", what));
  }
  absl::Time Time(double seconds) const { return absl::UnixEpoch() + absl::Seconds(seconds); }

  void Arrive() {
    for (; next_ < requests_.size() && requests_[next_].arrival_s <= now_s_; ++next_) {
      if (static_cast<int64_t>(live_.size()) >= num_running_ + kWaitingMax) return;
      const RecordedRequest& recorded = requests_[next_];
      // The last output token is never computed.
      if (recorded.num_prompt + recorded.num_output - 1 >
          pool_.num_blocks() * pool_.block_tokens()) {
        ++report_.num_too_long;
        continue;
      }
      auto live = std::make_unique<Live>();
      live->recorded = &recorded;
      live->tenant = ledger_.Enter(recorded.tenant);
      live->num_tokens = recorded.num_prompt;
      if (options_.prefix_cache) live->chain = ChainOf(recorded, next_);
      live_.emplace(SequenceId{static_cast<int64_t>(next_)}, std::move(live));
    }
  }

  // The recorded names are chained already; a block of ours is a part of one of theirs.
  std::vector<BlockHash> ChainOf(const RecordedRequest& recorded, size_t number) const {
    std::vector<BlockHash> chain;
    const int64_t num_whole = recorded.num_prompt / pool_.block_tokens();
    for (int64_t i = 0; i < num_whole; ++i) {
      const int64_t start = i * pool_.block_tokens();
      const size_t index = static_cast<size_t>(start / kRecordedBlockTokens);
      const bool known = index < recorded.block_ids.size();
      chain.push_back({known ? recorded.block_ids[index] : ~uint64_t{number},
                       static_cast<uint64_t>(known ? start % kRecordedBlockTokens : start)});
    }
    return chain;
  }

  absl::Span<const BlockHash> Findable(const Live& live) const {
    const size_t most = static_cast<size_t>((live.num_tokens - 1) / pool_.block_tokens());
    return absl::MakeConstSpan(live.chain).first(std::min(most, live.chain.size()));
  }

  bool has_states() const { return states_.num_slots() > 0; }

  // What a request finds when it is admitted: blocks, and with them the state behind the last.
  PrefixMatch Match(Live& live) const {
    PrefixMatch match = pool_.Find(Findable(live));
    if (!has_states()) return match;
    int64_t usable = match.num_blocks;
    while (usable > 0 && !states_.Knows(live.chain[usable - 1])) --usable;
    live.branch_blocks = match.num_blocks > usable ? match.num_blocks : 0;
    return pool_.Find(absl::MakeConstSpan(live.chain).first(usable));
  }

  void MakeView() {
    if (has_states()) view_.num_free_states = states_.num_free();
    view_.running.clear();
    view_.waiting.clear();
    view_.now = Time(now_s_);
    view_.num_free_blocks = pool_.num_free();
    view_.block_tokens = pool_.block_tokens();
    view_.tenant_service.assign(ledger_.service().begin(), ledger_.service().end());
    const bool may_admit = num_running_ < options_.limits.max_running_sequences;
    for (const auto& [id, live] : live_) {
      SequenceView s;
      s.id = id;
      s.tenant = live->tenant;
      s.priority = live->recorded->priority;
      s.arrival = static_cast<int64_t>(id);
      s.submitted = Time(live->recorded->arrival_s);
      s.resumed = live->resumed;
      s.num_tokens = live->num_tokens;
      s.num_computed = live->num_computed;
      s.num_blocks = static_cast<int64_t>(pool_.BlockTable(id).size());
      if (live->running) {
        s.num_shared_blocks = pool_.NumShared(id);
        s.num_drafts_max = DraftsFor(*live);
        view_.running.push_back(s);
        continue;
      }
      if (may_admit) {
        const PrefixMatch match = Match(*live);
        s.num_cached = match.num_blocks * pool_.block_tokens();
        s.num_cached_held_blocks = match.num_held;
      }
      view_.waiting.push_back(s);
    }
  }

  absl::Status Step() {
    MakeView();
    const BatchPlan plan = PlanBatch(view_, options_.limits);
    ++report_.num_steps;
    for (SequenceId id : plan.preempted) Preempt(id);
    RETURN_IF_ERROR(CheckNobodyStarves(plan));
    for (SequenceId id : plan.admitted) RETURN_IF_ERROR(Admit(id));
    if (num_running_ > options_.limits.max_running_sequences) return Broken("too many run");
    if (plan.chunks.empty()) {
      if (plan.preempted.empty()) return Broken("a request could run and nothing was planned");
      return absl::OkStatus();
    }
    double seconds = options_.cost.step_s;
    int64_t num_tokens = 0;
    for (const PlannedChunk& chunk : plan.chunks) {
      num_tokens += chunk.num_tokens + chunk.num_drafts;
      seconds += CostOf(*live_.at(chunk.id), chunk.num_tokens + chunk.num_drafts);
    }
    if (num_tokens > options_.limits.max_batch_tokens) return Broken("the budget was exceeded");
    now_s_ += seconds;
    RETURN_IF_ERROR(TakeDraftStates(plan));
    for (const PlannedChunk& chunk : plan.chunks) RETURN_IF_ERROR(Compute(chunk));
    return absl::OkStatus();
  }

  int64_t DraftsFor(const Live& live) const {
    const int64_t num_output = live.num_tokens - live.recorded->num_prompt;
    if (num_output == 0 || live.num_tokens - live.num_computed != 1) return 0;
    return std::min(options_.drafts_max, live.recorded->num_output - num_output - 1);
  }

  // Every guess of the step needs a state to come back to, all at once.
  absl::Status TakeDraftStates(const BatchPlan& plan) {
    if (!has_states()) return absl::OkStatus();
    std::vector<int32_t> taken;
    for (const PlannedChunk& chunk : plan.chunks) {
      for (int64_t i = 0; i < chunk.num_drafts; ++i) {
        const std::optional<int32_t> slot = states_.Take();
        if (!slot.has_value()) return Broken("a guess without a state");
        taken.push_back(*slot);
      }
    }
    for (int32_t slot : taken) states_.Give(slot);
    return absl::OkStatus();
  }

  // Nobody is admitted before an older one that waits beyond the bound.
  absl::Status CheckNobodyStarves(const BatchPlan& plan) const {
    SequenceId oldest{INT64_MAX};
    for (const SequenceView& s : view_.waiting) {
      const bool admitted =
          std::find(plan.admitted.begin(), plan.admitted.end(), s.id) != plan.admitted.end();
      const bool starves = view_.now - s.submitted >= options_.limits.starvation_bound;
      if (!admitted && !s.resumed && starves) oldest = std::min(oldest, s.id);
    }
    for (SequenceId id : plan.admitted) {
      if (id > oldest && !live_.at(id)->resumed) return Broken("a starving request was overtaken");
    }
    return absl::OkStatus();
  }

  void Preempt(SequenceId id) {
    Live& live = *live_.at(id);
    ReleaseAll(id, live);
    live.num_computed = live.num_published = 0;
    live.running = false;
    live.resumed = true;
    --num_running_;
    ++report_.num_preemptions;
  }

  void ReleaseAll(SequenceId id, Live& live) {
    pool_.Release(id);
    if (live.state.has_value()) states_.Give(*std::exchange(live.state, std::nullopt));
  }

  absl::Status Admit(SequenceId id) {
    Live& live = *live_.at(id);
    int64_t num_blocks = static_cast<int64_t>(Findable(live).size());
    if (has_states()) {
      num_blocks = Match(live).num_blocks;  // an earlier one's state may have taken a snapshot away
      if (num_blocks > 0) states_.Find(live.chain[num_blocks - 1]);
      live.state = states_.Take();
      if (!live.state.has_value()) return Broken("a sequence was admitted without a state");
    }
    live.num_published = pool_.Adopt(id, absl::MakeConstSpan(live.chain).first(num_blocks));
    live.num_computed = live.num_published * pool_.block_tokens();
    live.running = true;
    ++num_running_;
    if (live.resumed) return absl::OkStatus();
    num_blocks_ += BlocksFor(live.recorded->num_prompt, pool_.block_tokens());
    num_tokens_ += live.recorded->num_prompt;
    num_hit_blocks_ += live.num_published;
    report_.wait_s_max = std::max(report_.wait_s_max, now_s_ - live.recorded->arrival_s);
    ledger_.Charge(live.tenant, live.num_tokens * kPromptTokenCost);
    return absl::OkStatus();
  }

  // The state behind block `index` of the prompt, if it is worth a snapshot.
  void KeepState(Live& live, int64_t index) {
    const int64_t num_tokens = (index + 1) * pool_.block_tokens();
    const int64_t last = (live.recorded->num_prompt - 1) / pool_.block_tokens();
    if (index + 1 != last && index + 1 != live.branch_blocks &&
        num_tokens % options_.state_interval_tokens != 0) {
      return;
    }
    if (states_.Knows(live.chain[index])) return;
    if (const std::optional<int32_t> slot = states_.Take()) states_.Keep(live.chain[index], *slot);
  }

  double CostOf(const Live& live, int64_t chunk) const {
    const StepCost& cost = options_.cost;
    const bool is_prompt = chunk > 1 || live.num_computed < live.recorded->num_prompt;
    const double before = static_cast<double>(live.num_computed) + static_cast<double>(chunk) / 2;
    return static_cast<double>(chunk) *
           (is_prompt ? cost.prompt_token_s + before * cost.prompt_context_s
                      : cost.decode_token_s + before * cost.decode_context_s);
  }

  absl::Status Compute(const PlannedChunk& chunk) {
    Live& live = *live_.at(chunk.id);
    if (!live.running || chunk.num_tokens < 1 ||
        live.num_computed + chunk.num_tokens > live.num_tokens) {
      return Broken("a chunk that cannot be computed");
    }
    const absl::Status grown =
        pool_.Grow(chunk.id, live.num_computed + chunk.num_tokens + chunk.num_drafts);
    if (!grown.ok()) return Broken(grown.message());
    live.num_computed += chunk.num_tokens;
    const int64_t num_full = std::min<int64_t>(live.num_computed / pool_.block_tokens(),
                                               static_cast<int64_t>(live.chain.size()));
    for (; live.num_published < num_full; ++live.num_published) {
      pool_.Publish(chunk.id, live.num_published, live.chain[live.num_published]);
      if (has_states()) KeepState(live, live.num_published);
    }
    if (live.num_computed < live.num_tokens) return absl::OkStatus();
    ++num_decodes_;
    int64_t num_right = 0;
    while (num_right < chunk.num_drafts &&
           std::bernoulli_distribution(options_.share_right)(random_))
      ++num_right;
    live.num_computed += num_right;
    for (int64_t i = 0; i <= num_right; ++i) AddToken(chunk.id, live);
    return absl::OkStatus();
  }

  // The last of an answer is the last that is added: no more are guessed.
  void AddToken(SequenceId id, Live& live) {
    ledger_.Charge(live.tenant, kOutputTokenCost);
    ++num_output_;
    if (live.first_token_s < 0) {
      live.first_token_s = now_s_;
      ttft_.push_back(static_cast<float>(now_s_ - live.recorded->arrival_s));
    } else {
      itl_.push_back(static_cast<float>(now_s_ - live.last_token_s));
    }
    live.last_token_s = now_s_;
    const int64_t num_output = ++live.num_tokens - live.recorded->num_prompt;
    if (num_output < live.recorded->num_output) return;
    const double mean =
        (now_s_ - live.first_token_s) / static_cast<double>(std::max<int64_t>(1, num_output - 1));
    num_good_ += live.first_token_s - live.recorded->arrival_s <= options_.ttft_slo_s &&
                 mean <= options_.itl_slo_s;
    ++report_.num_requests;
    ReleaseAll(id, live);
    ledger_.Leave(live.tenant);
    --num_running_;
    live_.erase(id);
  }

  ReplayReport Report() {
    const double seconds = std::max(1e-9, now_s_);
    report_.seconds = now_s_;
    report_.ttft_p50_s = Percentile(ttft_, 0.5);
    report_.ttft_p99_s = Percentile(ttft_, 0.99);
    report_.itl_p50_s = Percentile(itl_, 0.5);
    report_.itl_p99_s = Percentile(itl_, 0.99);
    report_.goodput_per_s = static_cast<double>(num_good_) / seconds;
    report_.tokens_per_decode =
        static_cast<double>(num_output_) / static_cast<double>(std::max<int64_t>(1, num_decodes_));
    report_.output_tokens_per_s = static_cast<double>(num_output_) / seconds;
    report_.block_hit_share = static_cast<double>(num_hit_blocks_) /
                              static_cast<double>(std::max<int64_t>(1, num_blocks_));
    report_.token_hit_share = static_cast<double>(num_hit_blocks_ * pool_.block_tokens()) /
                              static_cast<double>(std::max<int64_t>(1, num_tokens_));
    return report_;
  }

  const absl::Span<const RecordedRequest> requests_;
  const ReplayOptions options_;
  BlockPool pool_;
  StatePool states_;
  std::mt19937 random_{17};  // of the guesses that are right
  TenantLedger ledger_;
  SchedulerView view_;
  std::map<SequenceId, std::unique_ptr<Live>> live_;
  size_t next_ = 0;
  double now_s_ = 0;
  int64_t num_running_ = 0;
  int64_t num_blocks_ = 0, num_tokens_ = 0, num_hit_blocks_ = 0, num_output_ = 0, num_good_ = 0,
          num_decodes_ = 0;
  std::vector<float> ttft_, itl_;
  ReplayReport report_;
};

}  // namespace

absl::StatusOr<ReplayReport> Replay(absl::Span<const RecordedRequest> requests,
                                    const ReplayOptions& options) {
  return Simulation(requests, options).Run();
}

}  // namespace oneai::serving
