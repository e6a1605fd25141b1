// File: serving/grammar/expression.h
//
// The common form of every kind of grammar: expressions over characters, in rules that may call
// each other. Front ends (regex, EBNF, JSON schema) make it, the automaton builder reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::serving {

// Unicode scalar values, both ends included. Surrogates are never part of a set of characters.
struct CharRange {
  uint32_t first;
  uint32_t last;
  friend bool operator==(const CharRange&, const CharRange&) = default;
};
inline constexpr uint32_t kCodePointMax = 0x10FFFF;

// Sorted, disjoint, not adjacent, without surrogates.
using CharSet = std::vector<CharRange>;
CharSet MakeCharSet(std::vector<CharRange> ranges);
CharSet Complement(const CharSet& set);
CharSet Intersect(const CharSet& a, const CharSet& b);

using ExprId = int32_t;
using RuleId = int32_t;

struct Expr {
  enum class Kind {
    kNever,      // matches nothing
    kBytes,      // exactly `bytes` (empty: the empty text)
    kChars,      // one character of `chars`
    kConcat,     // children in order
    kAlternate,  // any child
    kRepeat,     // the only child, `min` to `max` times
    kList,       // children[1...] in order, those that are `optional` or not, children[0] between
    kGraph,      // a way through `edges`, from node 0 to one of `is_final`
    kCall,       // `rule`
  };
  struct GraphEdge {
    int32_t from, to;
    ExprId label;  // one of `children`; -1: one byte from `first` to `last`
    uint8_t first, last;
  };
  Kind kind = Kind::kNever;
  std::string bytes;
  CharSet chars;
  std::vector<ExprId> children;
  std::vector<bool> optional;  // kList: of children[1 + i]
  int64_t min = 0;
  int64_t max = 0;               // kUnbounded: no limit
  std::vector<GraphEdge> edges;  // kGraph; they may form cycles
  std::vector<bool> is_final;    // kGraph: by node
  RuleId rule = -1;
  int32_t place = -1;  // of ExpressionPool::places, -1: that of what it is in

  static constexpr int64_t kUnbounded = -1;
};

struct Rule {
  std::string name;
  ExprId body = -1;  // -1: declared, not yet defined
  // Stays a call although it is small: its masks are then the same wherever it is used.
  bool keep = false;
};

// Owns expressions and rules. Expressions are shared freely: they form a directed acyclic graph.
// Thread-compatible.
class ExpressionPool {
 public:
  ExprId Never();
  ExprId Bytes(absl::string_view bytes);
  ExprId Chars(CharSet chars);  // kNever when empty
  ExprId Concat(std::vector<ExprId> children);
  ExprId Alternate(std::vector<ExprId> children);  // kNever when empty
  ExprId Repeat(ExprId child, int64_t min, int64_t max);
  ExprId Optional(ExprId child) { return Repeat(child, 0, 1); }
  // The items in order, each optional one left out or not, with `separator` between those that are
  // there. Its automaton is linear in the items, where alternatives would be quadratic.
  ExprId List(ExprId separator, const std::vector<ExprId>& items, std::vector<bool> optional);
  // A finite automaton whose edges read whole expressions. kNever without a node.
  ExprId Graph(std::vector<Expr::GraphEdge> edges, std::vector<bool> is_final);
  ExprId Call(RuleId rule);

  RuleId AddRule(std::string name) {
    rules_.push_back({std::move(name), -1, false});
    return static_cast<RuleId>(rules_.size()) - 1;
  }
  Rule& rule(RuleId id) { return rules_[id]; }
  const Rule& rule(RuleId id) const { return rules_[id]; }
  int64_t num_rules() const { return static_cast<int64_t>(rules_.size()); }

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  int64_t num_exprs() const { return static_cast<int64_t>(exprs_.size()); }

  // Says where in the source `expr` was written, for errors.
  void SetPlace(ExprId expr, std::string place);
  absl::string_view place(const Expr& expr) const {
    return expr.place < 0 ? absl::string_view() : absl::string_view(places_[expr.place]);
  }

 private:
  ExprId Add(Expr expr);
  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
  std::vector<std::string> places_;
};

// A grammar: the text is what `start` matches.
struct Grammar {
  ExpressionPool pool;
  RuleId start = -1;
};

}  // namespace oneai::serving
