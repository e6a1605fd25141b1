#include "serving/grammar/rule_inlining.h"

#include <algorithm>

namespace oneai::serving {
namespace {

constexpr int64_t kInlineStatesMax = 64;
constexpr int32_t kInlineDepthMax = 32;  // copies within copies; bounds the recursion
// A loop over more characters than this allows a large part of the vocabulary: as a rule of its
// own, its masks are made once.
constexpr int64_t kWideChars = 128;

int64_t Plus(int64_t a, int64_t b) { return std::min(kSizeMax, a + b); }
int64_t Times(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  return a > kSizeMax / b ? kSizeMax : std::min(kSizeMax, a * b);
}

class Planner {
 public:
  explicit Planner(const Grammar& grammar) : grammar_(grammar), pool_(grammar.pool) {
    const size_t num_rules = pool_.num_rules();
    plan_.reachable.assign(num_rules, false);
    plan_.is_inlined.assign(num_rules, false);
    plan_.is_nullable.assign(num_rules, false);
    plan_.expr_states.assign(pool_.num_exprs(), -1);
    callees_.resize(num_rules);
    num_uses_.assign(num_rules, 0);
    is_wide_.assign(num_rules, false);
    inline_depth_.assign(num_rules, 0);
  }

  RulePlan Plan() {
    FindRules();
    // A rule's size needs those of its callees: in this order they are known.
    const std::vector<RuleId> order = CalleesFirst();
    FindNullable(order);
    for (RuleId r : order) {
      const Rule& rule = pool_.rule(r);
      const int64_t states = Size(rule.body);
      const bool small = states <= kInlineStatesMax || num_uses_[r] == 1;
      int32_t depth = 1;
      for (RuleId callee : callees_[r]) {
        if (plan_.is_inlined[callee]) depth = std::max(depth, inline_depth_[callee] + 1);
      }
      inline_depth_[r] = depth;
      plan_.is_inlined[r] = small && !rule.keep && !recursive_[r] && !is_wide_[r] &&
                            depth <= kInlineDepthMax && r != grammar_.start;
      if (!plan_.is_inlined[r]) plan_.num_states = Plus(plan_.num_states, states + 2);
    }
    return std::move(plan_);
  }

 private:
  // Visits every expression below `root` once.
  template <typename Visit>
  void ForEach(ExprId root, std::vector<int32_t>& mark, int32_t stamp, Visit visit) const {
    std::vector<ExprId> pending = {root};
    while (!pending.empty()) {
      const ExprId id = pending.back();
      pending.pop_back();
      if (mark[id] == stamp) continue;
      mark[id] = stamp;
      visit(pool_.expr(id));
      for (ExprId child : pool_.expr(id).children) pending.push_back(child);
    }
  }

  void FindRules() {
    std::vector<int32_t> mark(pool_.num_exprs(), -1);
    std::vector<RuleId> pending = {grammar_.start};
    plan_.reachable[grammar_.start] = true;
    while (!pending.empty()) {
      const RuleId r = pending.back();
      pending.pop_back();
      ForEach(pool_.rule(r).body, mark, r, [&](const Expr& e) {
        if (e.kind == Expr::Kind::kRepeat && e.max == Expr::kUnbounded) {
          const Expr& body = pool_.expr(e.children[0]);
          int64_t num_chars = 0;
          for (CharRange c : body.chars) num_chars += c.last - c.first + 1;
          if (num_chars > kWideChars) is_wide_[r] = true;
        }
        if (e.kind != Expr::Kind::kCall) return;
        callees_[r].push_back(e.rule);
        ++num_uses_[e.rule];
        if (!plan_.reachable[e.rule]) {
          plan_.reachable[e.rule] = true;
          pending.push_back(e.rule);
        }
      });
    }
  }

  void FindNullable(const std::vector<RuleId>& order) {
    for (bool changed = true; changed;) {
      changed = false;
      std::vector<int8_t> known(pool_.num_exprs(), -1);
      for (RuleId r : order) {
        if (plan_.is_nullable[r]) continue;
        if (IsNullable(pool_.rule(r).body, known)) plan_.is_nullable[r] = changed = true;
      }
    }
  }

  bool IsNullable(ExprId id, std::vector<int8_t>& known) const {
    if (known[id] >= 0) return known[id] != 0;
    const Expr& e = pool_.expr(id);
    auto child_is = [&](ExprId child) { return IsNullable(child, known); };
    bool result = false;
    switch (e.kind) {
      case Expr::Kind::kNever:
      case Expr::Kind::kChars:
        break;
      case Expr::Kind::kBytes:
        result = e.bytes.empty();
        break;
      case Expr::Kind::kConcat:
        result = std::all_of(e.children.begin(), e.children.end(), child_is);
        break;
      case Expr::Kind::kAlternate:
        result = std::any_of(e.children.begin(), e.children.end(), child_is);
        break;
      case Expr::Kind::kRepeat:
        result = e.min == 0 || child_is(e.children[0]);
        break;
      case Expr::Kind::kList:
        result = std::find(e.optional.begin(), e.optional.end(), false) == e.optional.end();
        break;
      case Expr::Kind::kGraph:
        result = IsGraphNullable(e, known);
        break;
      case Expr::Kind::kCall:
        result = plan_.is_nullable[e.rule];
        break;
    }
    known[id] = result;
    return result;
  }

  // Whether a final node is reached by labels that match the empty text.
  bool IsGraphNullable(const Expr& e, std::vector<int8_t>& known) const {
    std::vector<bool> reached(e.is_final.size());
    reached[0] = true;
    for (bool changed = true; changed;) {
      changed = false;
      for (const Expr::GraphEdge& edge : e.edges) {
        if (edge.label < 0 || !reached[edge.from] || reached[edge.to]) continue;
        if (IsNullable(edge.label, known)) reached[edge.to] = changed = true;
      }
    }
    for (size_t i = 0; i < reached.size(); ++i) {
      if (reached[i] && e.is_final[i]) return true;
    }
    return false;
  }

  // Rules in an order in which callees come before callers, except around cycles, whose members
  // are marked recursive. Iterative depth-first search.
  std::vector<RuleId> CalleesFirst() {
    enum : int8_t { kNew, kOpen, kDone };
    recursive_.assign(pool_.num_rules(), false);
    std::vector<int8_t> state(pool_.num_rules(), kNew);
    std::vector<RuleId> order;
    std::vector<std::pair<RuleId, size_t>> path = {{grammar_.start, 0}};
    state[grammar_.start] = kOpen;
    while (!path.empty()) {
      auto& [r, next] = path.back();
      if (next == callees_[r].size()) {
        state[r] = kDone;
        order.push_back(r);
        path.pop_back();
        continue;
      }
      const RuleId callee = callees_[r][next++];
      if (state[callee] == kNew) {
        state[callee] = kOpen;
        path.push_back({callee, 0});
      } else if (state[callee] == kOpen) {
        // Breaking the cycle at one rule is enough to make copying end.
        recursive_[callee] = true;
      }
    }
    return order;
  }

  int64_t Size(ExprId id) {
    int64_t& known = plan_.expr_states[id];
    if (known >= 0) return known;
    const Expr& e = pool_.expr(id);
    int64_t size = 0;
    switch (e.kind) {
      case Expr::Kind::kNever:
        size = 1;
        break;
      case Expr::Kind::kBytes:
        size = static_cast<int64_t>(e.bytes.size());
        break;
      case Expr::Kind::kChars:
        size = e.chars.back().last < 0x80 ? 1 : 3 + static_cast<int64_t>(e.chars.size());
        break;
      case Expr::Kind::kConcat:
        for (ExprId child : e.children) size = Plus(size, Size(child));
        break;
      case Expr::Kind::kAlternate:
        for (ExprId child : e.children) size = Plus(size, Size(child));
        size = Plus(size, 1);
        break;
      case Expr::Kind::kList:
        size = Times(Plus(Size(e.children[0]), 3), static_cast<int64_t>(e.children.size()));
        for (size_t i = 1; i < e.children.size(); ++i) size = Plus(size, Size(e.children[i]));
        break;
      case Expr::Kind::kRepeat: {
        const int64_t copies = e.max == Expr::kUnbounded ? e.min + 1 : e.max;
        size = Plus(Times(Plus(Size(e.children[0]), 1), copies), 1);
        break;
      }
      case Expr::Kind::kGraph:
        for (ExprId child : e.children) size = Plus(size, Plus(Size(child), 1));
        size = Plus(size, static_cast<int64_t>(e.is_final.size()) + 1);
        break;
      case Expr::Kind::kCall:
        size = plan_.is_inlined[e.rule] ? Size(pool_.rule(e.rule).body) : 1;
        break;
    }
    return plan_.expr_states[id] = size;
  }

  const Grammar& grammar_;
  const ExpressionPool& pool_;
  RulePlan plan_;
  std::vector<std::vector<RuleId>> callees_;
  std::vector<int64_t> num_uses_;
  std::vector<bool> recursive_, is_wide_;
  std::vector<int32_t> inline_depth_;
};

}  // namespace

RulePlan PlanRules(const Grammar& grammar) { return Planner(grammar).Plan(); }

std::string HeaviestPlace(const Grammar& grammar, const RulePlan& plan) {
  const ExpressionPool& pool = grammar.pool;
  RuleId heaviest_rule = grammar.start;
  for (RuleId r = 0; r < pool.num_rules(); ++r) {
    if (!plan.reachable[r] || plan.is_inlined[r]) continue;
    if (plan.expr_states[pool.rule(r).body] > plan.expr_states[pool.rule(heaviest_rule).body]) {
      heaviest_rule = r;
    }
  }
  // Down to where no child is half of its parent; repetitions are left at the outermost one.
  std::string place(pool.rule(heaviest_rule).name);
  for (ExprId id = pool.rule(heaviest_rule).body;;) {
    const Expr& e = pool.expr(id);
    if (!pool.place(e).empty()) place = std::string(pool.place(e));
    if (e.kind == Expr::Kind::kCall && plan.is_inlined[e.rule]) {
      id = pool.rule(e.rule).body;
      continue;
    }
    if (e.kind == Expr::Kind::kRepeat &&
        plan.expr_states[e.children[0]] * 4 < plan.expr_states[id]) {
      return place;
    }
    ExprId best = -1;
    for (ExprId child : e.children) {
      if (best < 0 || plan.expr_states[child] > plan.expr_states[best]) best = child;
    }
    if (best < 0 || plan.expr_states[best] * 2 < plan.expr_states[id]) return place;
    id = best;
  }
}

}  // namespace oneai::serving
