#include "serving/grammar/expression.h"

#include <algorithm>
#include <utility>

namespace oneai::serving {
namespace {

constexpr uint32_t kSurrogateFirst = 0xD800, kSurrogateLast = 0xDFFF;

}  // namespace

CharSet MakeCharSet(std::vector<CharRange> ranges) {
  std::vector<CharRange> scalars;
  for (CharRange r : ranges) {
    r.last = std::min(r.last, kCodePointMax);
    if (r.first > r.last) continue;
    if (r.last < kSurrogateFirst || r.first > kSurrogateLast) {
      scalars.push_back(r);
      continue;
    }
    if (r.first < kSurrogateFirst) scalars.push_back({r.first, kSurrogateFirst - 1});
    if (r.last > kSurrogateLast) scalars.push_back({kSurrogateLast + 1, r.last});
  }
  std::sort(scalars.begin(), scalars.end(),
            [](CharRange a, CharRange b) { return a.first < b.first; });
  CharSet set;
  for (CharRange r : scalars) {
    if (!set.empty() && r.first <= set.back().last + 1) {
      set.back().last = std::max(set.back().last, r.last);
    } else {
      set.push_back(r);
    }
  }
  return set;
}

CharSet Complement(const CharSet& set) {
  std::vector<CharRange> gaps;
  uint32_t next = 0;
  for (CharRange r : set) {
    if (r.first > next) gaps.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next <= kCodePointMax) gaps.push_back({next, kCodePointMax});
  return MakeCharSet(std::move(gaps));
}

CharSet Intersect(const CharSet& a, const CharSet& b) {
  CharSet both;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t first = std::max(a[i].first, b[j].first);
    const uint32_t last = std::min(a[i].last, b[j].last);
    if (first <= last) both.push_back({first, last});
    a[i].last < b[j].last ? ++i : ++j;
  }
  return both;
}

ExprId ExpressionPool::Add(Expr expr) {
  exprs_.push_back(std::move(expr));
  return static_cast<ExprId>(exprs_.size()) - 1;
}

ExprId ExpressionPool::Never() { return Add({.kind = Expr::Kind::kNever}); }

ExprId ExpressionPool::Bytes(absl::string_view bytes) {
  return Add({.kind = Expr::Kind::kBytes, .bytes = std::string(bytes)});
}

ExprId ExpressionPool::Chars(CharSet chars) {
  if (chars.empty()) return Never();
  return Add({.kind = Expr::Kind::kChars, .chars = std::move(chars)});
}

ExprId ExpressionPool::Concat(std::vector<ExprId> children) {
  if (children.size() == 1) return children[0];
  if (children.empty()) return Bytes("");
  return Add({.kind = Expr::Kind::kConcat, .children = std::move(children)});
}

ExprId ExpressionPool::Alternate(std::vector<ExprId> children) {
  if (children.size() == 1) return children[0];
  if (children.empty()) return Never();
  return Add({.kind = Expr::Kind::kAlternate, .children = std::move(children)});
}

ExprId ExpressionPool::Repeat(ExprId child, int64_t min, int64_t max) {
  return Add({.kind = Expr::Kind::kRepeat, .children = {child}, .min = min, .max = max});
}

ExprId ExpressionPool::List(ExprId separator, const std::vector<ExprId>& items,
                            std::vector<bool> optional) {
  std::vector<ExprId> children = {separator};
  children.insert(children.end(), items.begin(), items.end());
  return Add({.kind = Expr::Kind::kList,
              .children = std::move(children),
              .optional = std::move(optional)});
}

ExprId ExpressionPool::Graph(std::vector<Expr::GraphEdge> edges, std::vector<bool> is_final) {
  if (is_final.empty()) return Never();
  std::vector<ExprId> children;
  for (const Expr::GraphEdge& edge : edges) {
    if (edge.label >= 0) children.push_back(edge.label);
  }
  return Add({.kind = Expr::Kind::kGraph,
              .children = std::move(children),
              .edges = std::move(edges),
              .is_final = std::move(is_final)});
}

ExprId ExpressionPool::Call(RuleId rule) { return Add({.kind = Expr::Kind::kCall, .rule = rule}); }

void ExpressionPool::SetPlace(ExprId expr, std::string place) {
  exprs_[expr].place = static_cast<int32_t>(places_.size());
  places_.push_back(std::move(place));
}

}  // namespace oneai::serving
