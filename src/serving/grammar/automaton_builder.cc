#include "serving/grammar/automaton_builder.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/mask_classes.h"
#include "serving/grammar/nfa.h"
#include "serving/grammar/rule_inlining.h"

namespace oneai::serving {
namespace {

constexpr int64_t kMaskClassStepsMax = 100'000'000;

}  // namespace

class AutomatonBuilder {
 public:
  AutomatonBuilder(const Grammar& grammar, const GrammarLimits& limits, Nfa nfa)
      : grammar_(grammar), limits_(limits), nfa_(std::move(nfa)) {}

  absl::StatusOr<std::unique_ptr<const GrammarAutomaton>> Build(int64_t token_bytes_max) {
    FindByteClasses();
    RETURN_IF_ERROR(Determinise());
    FindProductive();
    if (!productive_[out_->start_]) {
      return absl::InvalidArgumentError(
          "the grammar matches no text at all: some part of it contradicts itself or never ends");
    }
    RemoveDeadEnds();
    RETURN_IF_ERROR(RefuseLeftRecursion());
    if (out_->depth_needed_[out_->start_] > limits_.call_depth_max) {
      return absl::InvalidArgumentError(absl::StrCat("every text of the grammar nests more than ",
                                                     limits_.call_depth_max,
                                                     " deep; use fewer levels of rules"));
    }
    const TransitionRows rows = {out_->num_states(),       out_->num_classes_,
                                 out_->next_.data(),       out_->flags_.data(),
                                 out_->call_begin_.data(), out_->calls_.data()};
    out_->mask_class_ =
        MaskClasses(rows, token_bytes_max, kMaskClassStepsMax, out_->num_mask_classes_);
    out_->call_depth_max_ = limits_.call_depth_max;
    return std::move(out_);
  }

 private:
  using Set = std::vector<int32_t>;  // NFA states, sorted

  void FindByteClasses() {
    std::array<bool, 257> begins = {};
    begins[0] = true;
    for (const NfaEdge& e : nfa_.edges) {
      if (e.kind != NfaEdge::Kind::kBytes) continue;
      begins[e.first] = true;
      begins[e.last + 1] = true;
    }
    int c = -1;
    for (int b = 0; b < 256; ++b) {
      if (begins[b]) ++c;
      out_->byte_class_[b] = static_cast<uint8_t>(c);
    }
    out_->num_classes_ = c + 1;
  }

  // States reached from `seeds` without reading, less those that have neither an edge that reads
  // nor are an end.
  Set Close(const Set& seeds) {
    ++stamp_;
    Set closed;
    pending_ = seeds;
    while (!pending_.empty()) {
      const int32_t s = pending_.back();
      pending_.pop_back();
      if (mark_[s] == stamp_) continue;
      mark_[s] = stamp_;
      bool matters = is_end_[s];
      for (int32_t e = nfa_.head[s]; e >= 0; e = nfa_.edges[e].next) {
        ++steps_;
        if (nfa_.edges[e].kind == NfaEdge::Kind::kNothing) {
          pending_.push_back(nfa_.edges[e].to);
        } else {
          matters = true;
        }
      }
      if (matters) closed.push_back(s);
    }
    std::sort(closed.begin(), closed.end());
    return closed;
  }

  int32_t StateOf(const Set& seeds) {
    Set set = Close(seeds);
    if (set.empty()) return GrammarAutomaton::kNoState;
    const auto [it, added] =
        numbers_.try_emplace(std::move(set), static_cast<int32_t>(sets_.size()));
    if (added) {
      sets_.push_back(&it->first);
      state_rule_.push_back(rule_now_);
    }
    return it->second;
  }

  absl::Status TooLarge(RuleId rule, absl::string_view what, int64_t limit) const {
    std::string place = HeaviestPlace(grammar_, PlanRules(grammar_));
    return absl::InvalidArgumentError(absl::StrCat(
        place, ": the grammar's automaton has more than ", limit, " ", what, " (while building '",
        grammar_.pool.rule(rule).name,
        "'); alternatives that begin alike with long counted repetitions cause this: use smaller "
        "counts, or tell the alternatives apart by how they begin"));
  }

  absl::Status Determinise() {
    mark_.assign(nfa_.head.size(), 0);
    is_end_.assign(nfa_.head.size(), false);
    for (int32_t end : nfa_.rule_end) {
      if (end >= 0) is_end_[end] = true;
    }
    numbers_.reserve(nfa_.head.size());
    rule_state_.assign(nfa_.rule_start.size(), GrammarAutomaton::kNoState);
    for (RuleId r = 0; r < static_cast<RuleId>(nfa_.rule_start.size()); ++r) {
      if (nfa_.rule_start[r] < 0) continue;
      rule_now_ = r;
      rule_state_[r] = StateOf({nfa_.rule_start[r]});
      for (int32_t s = static_cast<int32_t>(out_->flags_.size());
           s < static_cast<int32_t>(sets_.size()); ++s) {
        Expand(s);
        if (static_cast<int64_t>(sets_.size()) > limits_.dfa_states_max)
          return TooLarge(r, "states", limits_.dfa_states_max);
        if (steps_ > limits_.steps_max) return TooLarge(r, "steps of work", limits_.steps_max);
      }
    }
    if (rule_state_[grammar_.start] == GrammarAutomaton::kNoState) {
      return absl::InvalidArgumentError("the grammar matches no text at all");
    }
    out_->start_ = rule_state_[grammar_.start];
    return absl::OkStatus();
  }

  // Writes the row of state `s`; calls name the rule until all rules have states.
  void Expand(int32_t s) {
    const int64_t num_classes = out_->num_classes_;
    buckets_.resize(num_classes);
    for (Set& bucket : buckets_) bucket.clear();
    const Set set = *sets_[s];
    uint8_t flags = 0;
    absl::flat_hash_map<RuleId, Set> calls;
    for (int32_t nfa_state : set) {
      if (is_end_[nfa_state]) flags |= GrammarAutomaton::kFinal;
      for (int32_t e = nfa_.head[nfa_state]; e >= 0; e = nfa_.edges[e].next) {
        const NfaEdge& edge = nfa_.edges[e];
        if (edge.kind == NfaEdge::Kind::kCall) calls[edge.rule].push_back(edge.to);
        if (edge.kind != NfaEdge::Kind::kBytes) continue;
        const int first = out_->byte_class_[edge.first], last = out_->byte_class_[edge.last];
        for (int c = first; c <= last; ++c) buckets_[c].push_back(edge.to);
        steps_ += last - first + 1;
      }
    }
    out_->next_.resize((static_cast<int64_t>(s) + 1) * num_classes, GrammarAutomaton::kNoState);
    for (int64_t c = 0; c < num_classes; ++c) {
      if (buckets_[c].empty()) continue;
      const int64_t at = static_cast<int64_t>(s) * num_classes + c;
      out_->next_[at] =
          c > 0 && buckets_[c] == buckets_[c - 1] ? out_->next_[at - 1] : StateOf(buckets_[c]);
    }
    std::vector<std::pair<RuleId, Set>> ordered(calls.begin(), calls.end());
    std::sort(ordered.begin(), ordered.end());
    std::vector<GrammarCall> row;
    for (auto& [rule, resume] : ordered) row.push_back({rule, StateOf(resume)});
    state_calls_.push_back(std::move(row));
    out_->flags_.push_back(flags);
  }

  // A state is productive when its rule can end from it. Found backwards from the ends, those that
  // need the fewest open calls first (Knuth's generalisation of Dijkstra's algorithm).
  void FindProductive() {
    const int64_t n = out_->num_states(), num_classes = out_->num_classes_;
    std::vector<std::vector<int32_t>> before(n), callers(n);
    for (int32_t s = 0; s < n; ++s) {
      int32_t last = GrammarAutomaton::kNoState;
      for (int64_t c = 0; c < num_classes; ++c) {
        const int32_t to = out_->next_[s * num_classes + c];
        if (to >= 0 && to != last) before[to].push_back(s);
        last = to;
      }
      for (GrammarCall& call : state_calls_[s]) {
        call.callee = rule_state_[call.callee];  // none for a rule without any text
        if (call.callee < 0 || call.resume < 0) continue;
        callers[call.callee].push_back(s);
        callers[call.resume].push_back(s);
      }
    }
    productive_.assign(n, false);
    out_->depth_needed_.assign(n, 0);
    using Candidate = std::pair<int32_t, int32_t>;  // calls needed, state
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    for (int32_t s = 0; s < n; ++s) {
      if (out_->IsFinal(s)) queue.push({0, s});
    }
    while (!queue.empty()) {
      const auto [needed, reached] = queue.top();
      queue.pop();
      if (productive_[reached]) continue;
      productive_[reached] = true;
      out_->depth_needed_[reached] = needed;
      for (int32_t s : before[reached]) {
        if (!productive_[s]) queue.push({needed, s});
      }
      for (int32_t s : callers[reached]) {
        for (const GrammarCall& call : state_calls_[s]) {
          if (productive_[s] || !IsProductive(call)) continue;
          queue.push(
              {std::max(out_->depth_needed_[call.callee] + 1, out_->depth_needed_[call.resume]),
               s});
        }
      }
    }
  }

  bool IsProductive(const GrammarCall& call) const {
    return call.callee >= 0 && call.resume >= 0 && productive_[call.callee] &&
           productive_[call.resume];
  }

  void RemoveDeadEnds() {
    for (int32_t& to : out_->next_) {
      if (to >= 0 && !productive_[to]) to = GrammarAutomaton::kNoState;
    }
    const int64_t num_classes = out_->num_classes_;
    std::vector<int> class_byte(num_classes), class_size(num_classes);
    for (int b = 0; b < 256; ++b) {
      class_byte[out_->byte_class_[b]] = b;
      ++class_size[out_->byte_class_[b]];
    }
    out_->call_begin_.push_back(0);
    for (int32_t s = 0; s < out_->num_states(); ++s) {
      for (const GrammarCall& call : state_calls_[s]) {
        if (!IsProductive(call)) continue;
        out_->calls_.push_back(call);
        out_->flags_[s] |= GrammarAutomaton::kCalls;
      }
      out_->call_begin_.push_back(static_cast<int32_t>(out_->calls_.size()));
      int num_next = 0, next_byte = -1;
      for (int64_t c = 0; c < num_classes; ++c) {
        if (out_->next_[s * num_classes + c] < 0) continue;
        num_next += class_size[c];
        next_byte = class_byte[c];
      }
      if (num_next > 0) out_->flags_[s] |= GrammarAutomaton::kBytes;
      out_->only_byte_.push_back(static_cast<int16_t>(num_next == 1 ? next_byte : -1));
    }
  }

  // A cycle of calls that read nothing in between would need an endless stack.
  absl::Status RefuseLeftRecursion() {
    const RuleId num_rules = static_cast<RuleId>(rule_state_.size());
    std::vector<std::vector<RuleId>> callees(num_rules);
    for (RuleId r = 0; r < num_rules; ++r) {
      if (rule_state_[r] < 0 || !productive_[rule_state_[r]]) continue;
      std::vector<int32_t> reached = {rule_state_[r]};
      for (size_t i = 0; i < reached.size(); ++i) {
        for (const GrammarCall& call : out_->Calls(reached[i])) {
          callees[r].push_back(state_rule_[call.callee]);
          if (out_->IsFinal(call.callee) &&
              std::find(reached.begin(), reached.end(), call.resume) == reached.end())
            reached.push_back(call.resume);
        }
      }
    }
    enum : int8_t { kNew, kOpen, kDone };
    std::vector<int8_t> state(num_rules, kNew);
    for (RuleId root = 0; root < num_rules; ++root) {
      if (state[root] != kNew) continue;
      std::vector<std::pair<RuleId, size_t>> path = {{root, 0}};
      state[root] = kOpen;
      while (!path.empty()) {
        auto& [r, next] = path.back();
        if (next == callees[r].size()) {
          state[r] = kDone;
          path.pop_back();
          continue;
        }
        const RuleId callee = callees[r][next++];
        if (state[callee] == kOpen) {
          return absl::InvalidArgumentError(absl::StrCat(
              "'", grammar_.pool.rule(callee).name,
              "' refers to itself before it reads a character (left recursion); write the "
              "repetition as item (separator item)*"));
        }
        if (state[callee] == kNew) {
          state[callee] = kOpen;
          path.push_back({callee, 0});
        }
      }
    }
    return absl::OkStatus();
  }

  const Grammar& grammar_;
  const GrammarLimits& limits_;
  const Nfa nfa_;
  std::unique_ptr<GrammarAutomaton> out_ = std::make_unique<GrammarAutomaton>();

  std::vector<bool> is_end_;
  std::vector<int32_t> mark_;
  int32_t stamp_ = 0;
  std::vector<int32_t> pending_;
  int64_t steps_ = 0;
  absl::node_hash_map<Set, int32_t> numbers_;  // nodes: sets_ points into it
  std::vector<const Set*> sets_;
  std::vector<Set> buckets_;
  RuleId rule_now_ = 0;
  std::vector<RuleId> state_rule_;  // by state
  std::vector<int32_t> rule_state_;
  std::vector<std::vector<GrammarCall>> state_calls_;
  std::vector<bool> productive_;
};

absl::StatusOr<std::unique_ptr<const GrammarAutomaton>> BuildAutomaton(const Grammar& grammar,
                                                                       const GrammarLimits& limits,
                                                                       int64_t token_bytes_max) {
  ASSIGN_OR_RETURN(Nfa nfa, BuildNfa(grammar, limits));
  return AutomatonBuilder(grammar, limits, std::move(nfa)).Build(token_bytes_max);
}

int64_t GrammarAutomaton::num_bytes() const {
  return static_cast<int64_t>(next_.size() * sizeof(int32_t) + flags_.size() +
                              calls_.size() * sizeof(GrammarCall) +
                              (call_begin_.size() + mask_class_.size()) * sizeof(int32_t));
}

}  // namespace oneai::serving
