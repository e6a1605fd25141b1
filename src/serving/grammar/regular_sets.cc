#include "serving/grammar/regular_sets.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/nfa.h"

namespace oneai::serving {
namespace {

using Set = std::vector<int32_t>;  // NFA states, sorted
constexpr int64_t kStepsMax = 20'000'000;

// Copies what `id` consists of.
ExprId CopyInto(const ExpressionPool& from, ExprId id, ExpressionPool& to,
                absl::flat_hash_map<ExprId, ExprId>& copies) {
  if (const auto it = copies.find(id); it != copies.end()) return it->second;
  const Expr& e = from.expr(id);
  std::vector<ExprId> children;
  for (ExprId child : e.children) children.push_back(CopyInto(from, child, to, copies));
  ExprId copy = -1;
  switch (e.kind) {
    case Expr::Kind::kNever:
    case Expr::Kind::kCall:  // see the contract
      copy = to.Never();
      break;
    case Expr::Kind::kBytes:
      copy = to.Bytes(e.bytes);
      break;
    case Expr::Kind::kChars:
      copy = to.Chars(e.chars);
      break;
    case Expr::Kind::kConcat:
      copy = to.Concat(std::move(children));
      break;
    case Expr::Kind::kAlternate:
      copy = to.Alternate(std::move(children));
      break;
    case Expr::Kind::kRepeat:
      copy = to.Repeat(children[0], e.min, e.max);
      break;
    case Expr::Kind::kList:
      copy = to.List(children[0], {children.begin() + 1, children.end()}, e.optional);
      break;
    case Expr::Kind::kGraph: {
      std::vector<Expr::GraphEdge> edges = e.edges;
      for (Expr::GraphEdge& edge : edges) {
        if (edge.label >= 0) edge.label = copies.at(edge.label);
      }
      copy = to.Graph(std::move(edges), e.is_final);
      break;
    }
  }
  return copies[id] = copy;
}

// One side of the product: sets of states of its automaton.
class Side {
 public:
  static absl::StatusOr<Side> From(const ExpressionPool& pool, ExprId id,
                                   const GrammarLimits& limits) {
    Grammar grammar;
    absl::flat_hash_map<ExprId, ExprId> copies;
    const ExprId body = CopyInto(pool, id, grammar.pool, copies);
    grammar.start = grammar.pool.AddRule("part");
    grammar.pool.rule(grammar.start).body = body;
    Side side;
    ASSIGN_OR_RETURN(side.nfa_, BuildNfa(grammar, limits));
    side.start_ = side.nfa_.rule_start[grammar.start];
    side.end_ = side.nfa_.rule_end[grammar.start];
    side.mark_.assign(side.nfa_.head.size(), 0);
    return side;
  }

  Set Start() { return Close({start_}); }
  bool IsEnd(const Set& set) const { return std::binary_search(set.begin(), set.end(), end_); }

  Set After(const Set& set, uint8_t byte) {
    Set next;
    for (int32_t s : set) {
      for (int32_t e = nfa_.head[s]; e >= 0; e = nfa_.edges[e].next) {
        const NfaEdge& edge = nfa_.edges[e];
        if (edge.kind == NfaEdge::Kind::kBytes && edge.first <= byte && byte <= edge.last)
          next.push_back(edge.to);
      }
      ++steps_;
    }
    return Close(std::move(next));
  }
  // Marks the bytes at which the automaton's ranges begin.
  void MarkBegins(std::array<bool, 257>& begins) const {
    for (const NfaEdge& edge : nfa_.edges) {
      if (edge.kind == NfaEdge::Kind::kBytes) begins[edge.first] = begins[edge.last + 1] = true;
    }
  }
  int64_t num_steps() const { return steps_; }

 private:
  Set Close(Set pending) {
    ++stamp_;
    Set closed;
    while (!pending.empty()) {
      const int32_t s = pending.back();
      pending.pop_back();
      if (mark_[s] == stamp_) continue;
      mark_[s] = stamp_;
      closed.push_back(s);
      for (int32_t e = nfa_.head[s]; e >= 0; e = nfa_.edges[e].next) {
        ++steps_;
        if (nfa_.edges[e].kind == NfaEdge::Kind::kNothing) pending.push_back(nfa_.edges[e].to);
      }
    }
    std::sort(closed.begin(), closed.end());
    return closed;
  }

  Nfa nfa_;
  int32_t start_ = 0, end_ = 0, stamp_ = 0;
  std::vector<int32_t> mark_;
  int64_t steps_ = 0;
};

// Nodes from which a final one is reached.
std::vector<bool> Productive(const std::vector<Expr::GraphEdge>& edges,
                             const std::vector<bool>& is_final) {
  std::vector<std::vector<int32_t>> before(is_final.size());
  for (const Expr::GraphEdge& edge : edges) before[edge.to].push_back(edge.from);
  std::vector<bool> productive = is_final;
  std::vector<int32_t> pending;
  for (size_t i = 0; i < is_final.size(); ++i) {
    if (is_final[i]) pending.push_back(static_cast<int32_t>(i));
  }
  while (!pending.empty()) {
    const int32_t node = pending.back();
    pending.pop_back();
    for (int32_t from : before[node]) {
      if (productive[from]) continue;
      productive[from] = true;
      pending.push_back(from);
    }
  }
  return productive;
}

}  // namespace

absl::StatusOr<ExprId> CombineSets(ExpressionPool& pool, ExprId a, ExprId b, SetOperation operation,
                                   const GrammarLimits& limits, absl::string_view place) {
  ASSIGN_OR_RETURN(Side first, Side::From(pool, a, limits));
  ASSIGN_OR_RETURN(Side second, Side::From(pool, b, limits));
  std::array<bool, 257> begins = {true};
  first.MarkBegins(begins);
  second.MarkBegins(begins);
  std::map<std::pair<Set, Set>, int32_t> numbers;
  std::vector<std::pair<Set, Set>> nodes = {{first.Start(), second.Start()}};
  numbers[nodes[0]] = 0;
  std::vector<Expr::GraphEdge> edges;
  std::vector<bool> is_final;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto [x, y] = nodes[i];
    is_final.push_back(first.IsEnd(x) && second.IsEnd(y) == (operation == SetOperation::kBoth));
    for (int byte = 0; byte < 256;) {
      int end = byte + 1;
      while (!begins[end] && end < 256) ++end;
      Set next_x = first.After(x, static_cast<uint8_t>(byte));
      Set next_y = second.After(y, static_cast<uint8_t>(byte));
      const bool goes_on =
          !next_x.empty() && (operation == SetOperation::kFirstOnly || !next_y.empty());
      if (goes_on) {
        std::pair<Set, Set> next = {std::move(next_x), std::move(next_y)};
        const auto [it, added] = numbers.try_emplace(next, static_cast<int32_t>(nodes.size()));
        if (added) nodes.push_back(std::move(next));
        edges.push_back({static_cast<int32_t>(i), it->second, -1, static_cast<uint8_t>(byte),
                         static_cast<uint8_t>(end - 1)});
      }
      byte = end;
    }
    if (static_cast<int64_t>(nodes.size()) > kProductStatesMax ||
        first.num_steps() + second.num_steps() > kStepsMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(place, ": what these keywords ask for together needs more than ",
                       kProductStatesMax, " states; use smaller counts or a simpler pattern"));
    }
  }
  const std::vector<bool> productive = Productive(edges, is_final);
  if (!productive[0]) return pool.Never();
  std::erase_if(edges, [&](const Expr::GraphEdge& edge) {
    return !productive[edge.from] || !productive[edge.to];
  });
  return pool.Graph(std::move(edges), std::move(is_final));
}

}  // namespace oneai::serving
