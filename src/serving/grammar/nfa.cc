#include "serving/grammar/nfa.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "serving/grammar/rule_inlining.h"
#include "serving/grammar/utf8_sequences.h"

namespace oneai::serving {
namespace {

class NfaBuilder {
 public:
  NfaBuilder(const Grammar& grammar, const RulePlan& plan) : pool_(grammar.pool), plan_(plan) {}

  Nfa Build() {
    nfa_.rule_start.assign(pool_.num_rules(), -1);
    nfa_.rule_end.assign(pool_.num_rules(), -1);
    for (RuleId r = 0; r < pool_.num_rules(); ++r) {
      if (!plan_.reachable[r] || plan_.is_inlined[r]) continue;
      nfa_.rule_start[r] = NewState();
      nfa_.rule_end[r] = Write(pool_.rule(r).body, nfa_.rule_start[r]);
    }
    return std::move(nfa_);
  }

 private:
  int32_t NewState() {
    nfa_.head.push_back(-1);
    return static_cast<int32_t>(nfa_.head.size()) - 1;
  }

  void AddEdge(int32_t from, NfaEdge edge) {
    edge.next = nfa_.head[from];
    nfa_.head[from] = static_cast<int32_t>(nfa_.edges.size());
    nfa_.edges.push_back(edge);
  }
  void AddBytes(int32_t from, uint8_t first, uint8_t last, int32_t to) {
    AddEdge(from, {NfaEdge::Kind::kBytes, first, last, -1, to, -1});
  }
  void AddNothing(int32_t from, int32_t to) {
    AddEdge(from, {NfaEdge::Kind::kNothing, 0, 0, -1, to, -1});
  }

  // Writes `id` from `from` on and returns where it ends. Nothing leads back to `from`, so several
  // expressions may begin there.
  int32_t Write(ExprId id, int32_t from) {
    const Expr& e = pool_.expr(id);
    switch (e.kind) {
      case Expr::Kind::kNever:
        return NewState();
      case Expr::Kind::kBytes:
        for (char c : e.bytes) {
          const int32_t to = NewState();
          AddBytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
          from = to;
        }
        return from;
      case Expr::Kind::kChars:
        return WriteChars(e.chars, from);
      case Expr::Kind::kConcat:
        for (ExprId child : e.children) from = Write(child, from);
        return from;
      case Expr::Kind::kAlternate: {
        const int32_t end = NewState();
        for (ExprId child : e.children) AddNothing(Write(child, from), end);
        return end;
      }
      case Expr::Kind::kRepeat:
        return WriteRepeat(e, from);
      case Expr::Kind::kList:
        return WriteList(e, from);
      case Expr::Kind::kGraph:
        return WriteGraph(e, from);
      case Expr::Kind::kCall:
        return WriteCall(e.rule, from);
    }
    return from;
  }

  int32_t WriteGraph(const Expr& e, int32_t from) {
    std::vector<int32_t> nodes;
    for (size_t i = 0; i < e.is_final.size(); ++i) nodes.push_back(NewState());
    const int32_t end = NewState();
    AddNothing(from, nodes[0]);
    for (const Expr::GraphEdge& edge : e.edges) {
      if (edge.label < 0) {
        AddBytes(nodes[edge.from], edge.first, edge.last, nodes[edge.to]);
      } else {
        AddNothing(Write(edge.label, nodes[edge.from]), nodes[edge.to]);
      }
    }
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (e.is_final[i]) AddNothing(nodes[i], end);
    }
    return end;
  }

  int32_t WriteCall(RuleId rule, int32_t from) {
    if (plan_.is_inlined[rule]) return Write(pool_.rule(rule).body, from);
    const int32_t to = NewState();
    AddEdge(from, {NfaEdge::Kind::kCall, 0, 0, rule, to, -1});
    // A call then always reads something, in one of the ways: mask classes count on it.
    if (plan_.is_nullable[rule]) AddNothing(from, to);
    return to;
  }

  // Two rails: on one nothing was written yet, on the other a separator is due. Both share the
  // items.
  int32_t WriteList(const Expr& e, int32_t from) {
    int32_t none_yet = NewState(), some = NewState();
    AddNothing(from, none_yet);
    for (size_t i = 1; i < e.children.size(); ++i) {
      const int32_t item = NewState(), none_after = NewState(), some_after = NewState();
      AddNothing(none_yet, item);
      AddNothing(Write(e.children[0], some), item);
      AddNothing(Write(e.children[i], item), some_after);
      if (e.optional[i - 1]) {
        AddNothing(none_yet, none_after);
        AddNothing(some, some_after);
      }
      none_yet = none_after;
      some = some_after;
    }
    const int32_t end = NewState();
    AddNothing(none_yet, end);
    AddNothing(some, end);
    return end;
  }

  int32_t WriteRepeat(const Expr& e, int32_t from) {
    for (int64_t i = 0; i < e.min; ++i) from = Write(e.children[0], from);
    if (e.max == Expr::kUnbounded) {
      const int32_t loop = NewState();
      AddNothing(from, loop);
      AddNothing(Write(e.children[0], loop), loop);
      return loop;
    }
    const int32_t end = NewState();
    for (int64_t i = e.min; i < e.max; ++i) {
      AddNothing(from, end);
      from = Write(e.children[0], from);
    }
    AddNothing(from, end);
    return end;
  }

  // Equal endings of the byte sequences share their states.
  int32_t WriteChars(const CharSet& chars, int32_t from) {
    std::vector<Utf8Sequence> sequences;
    for (CharRange range : chars) AppendUtf8Sequences(range, sequences);
    const int32_t end = NewState();
    std::map<std::tuple<uint8_t, uint8_t, int32_t>, int32_t> before;  // (bytes, to) -> state
    for (const Utf8Sequence& s : sequences) {
      int32_t to = end;
      for (int i = s.length - 1; i > 0; --i) {
        const auto [it, added] = before.try_emplace({s.bytes[i].first, s.bytes[i].last, to}, -1);
        if (added) {
          it->second = NewState();
          AddBytes(it->second, s.bytes[i].first, s.bytes[i].last, to);
        }
        to = it->second;
      }
      AddBytes(from, s.bytes[0].first, s.bytes[0].last, to);
    }
    return end;
  }

  const ExpressionPool& pool_;
  const RulePlan& plan_;
  Nfa nfa_;
};

}  // namespace

absl::StatusOr<Nfa> BuildNfa(const Grammar& grammar, const GrammarLimits& limits) {
  const RulePlan plan = PlanRules(grammar);
  if (plan.num_states > limits.nfa_states_max) {
    const std::string size =
        plan.num_states >= kSizeMax ? "far more" : absl::StrCat(plan.num_states);
    return absl::InvalidArgumentError(absl::StrCat(
        HeaviestPlace(grammar, plan), ": the grammar needs ", size, " states, of at most ",
        limits.nfa_states_max,
        ", most of them here; use smaller counts, fewer nested repetitions, or no upper bound"));
  }
  return NfaBuilder(grammar, plan).Build();
}

}  // namespace oneai::serving
