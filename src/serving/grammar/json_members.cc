#include "serving/grammar/json_members.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

constexpr int64_t kUnbounded = Expr::kUnbounded;
constexpr int64_t kNodesMax = 20'000;

// Nodes by what they stand for; `Key` is ordered.
template <typename Key>
class GraphOf {
 public:
  explicit GraphOf(ExpressionPool& pool) : pool_(pool) {}

  // The node of `key`; a new one is read by Next.
  int32_t Node(const Key& key) {
    const auto [it, added] = numbers_.try_emplace(key, static_cast<int32_t>(keys_.size()));
    if (added) keys_.push_back(key), is_final_.push_back(false);
    return it->second;
  }
  // The next node that was not visited yet.
  bool Next(int32_t& node, Key& key) {
    if (visited_ == keys_.size() || visited_ >= kNodesMax) return false;
    node = static_cast<int32_t>(visited_);
    key = keys_[visited_++];
    return true;
  }
  void SetFinal(int32_t node) { is_final_[node] = true; }
  void Read(int32_t from, ExprId text, const Key& to) {
    const int32_t node = Node(to);
    edges_.push_back({from, node, text, 0, 0});
  }
  absl::StatusOr<ExprId> Finish(const std::string& path) {
    if (static_cast<int64_t>(keys_.size()) > kNodesMax) {
      return absl::InvalidArgumentError(absl::StrCat(path,
                                                     ": counting what is here needs more than ",
                                                     kNodesMax, " states; use smaller counts"));
    }
    return pool_.Graph(std::move(edges_), std::move(is_final_));
  }

 private:
  ExpressionPool& pool_;
  std::map<Key, int32_t> numbers_;
  std::vector<Key> keys_;
  size_t visited_ = 0;
  std::vector<Expr::GraphEdge> edges_;
  std::vector<bool> is_final_;
};

// Counts up to where it makes no difference any more, and at least to 1: whether a comma is due.
int64_t CountCap(int64_t min, int64_t max) {
  return std::max<int64_t>(1, max == kUnbounded ? min : max);
}

// Which members the dependencies speak of, a bit each.
class Dependencies {
 public:
  Dependencies(const std::vector<JsonMember>& members, const MemberRules& rules) {
    for (const MemberRules::Dependency& d : rules.dependencies) {
      uint64_t needed = 0;
      for (const std::string& name : d.needed) needed |= BitOf(name);
      rules_.push_back({BitOf(d.trigger), needed});
    }
    for (const JsonMember& member : members) {
      const auto it = bits_.find(member.name);
      by_member_.push_back(it == bits_.end() ? 0 : it->second);
    }
  }
  uint64_t Bit(size_t member) const { return by_member_[member]; }
  bool Hold(uint64_t present) const {
    return std::all_of(rules_.begin(), rules_.end(), [&](const auto& rule) {
      return (present & rule.first) == 0 || (present & rule.second) == rule.second;
    });
  }
  size_t num_names() const { return bits_.size(); }

 private:
  uint64_t BitOf(const std::string& name) {
    const auto it =
        bits_.try_emplace(name, uint64_t{1} << std::min<size_t>(bits_.size(), 63)).first;
    return it->second;
  }
  std::map<std::string, uint64_t> bits_;
  std::vector<std::pair<uint64_t, uint64_t>> rules_;  // trigger, needed
  std::vector<uint64_t> by_member_;
};

}  // namespace

absl::StatusOr<ExprId> CountedMembers(ExpressionPool& pool, ExprId comma,
                                      const std::vector<JsonMember>& members,
                                      std::optional<ExprId> additional, const MemberRules& rules,
                                      const std::string& path) {
  const Dependencies dependencies(members, rules);
  if (dependencies.num_names() > 16)
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": at most 16 properties may depend on each other, not ", dependencies.num_names()));
  const int64_t n = static_cast<int64_t>(members.size());
  const int64_t cap = CountCap(rules.min, rules.max);
  using Key = std::tuple<int64_t, int64_t, uint64_t>;  // member, how many so far, which
  GraphOf<Key> graph(pool);
  graph.Node({0, 0, 0});
  const auto after_comma = [&](int64_t count, ExprId text) {
    return count > 0 ? pool.Concat({comma, text}) : text;
  };
  int32_t node = 0;
  for (Key key; graph.Next(node, key);) {
    const auto [i, count, present] = key;
    const bool has_room = rules.max == kUnbounded || count < rules.max;
    const int64_t more = std::min(cap, count + 1);
    if (i < n) {
      if (members[i].is_optional) graph.Read(node, pool.Bytes(""), {i + 1, count, present});
      if (has_room) {
        graph.Read(node, after_comma(count, members[i].text),
                   {i + 1, more, present | dependencies.Bit(i)});
      }
      continue;
    }
    if (i == n && !dependencies.Hold(present)) continue;
    if (i > n || count >= rules.min) graph.SetFinal(node);
    // The first additional one differs from all members; the others may repeat it.
    const bool counts = i > n || count + 1 >= rules.min;
    if (additional.has_value() && has_room && counts)
      graph.Read(node, after_comma(count, *additional), {n + 1, more, 0});
  }
  return graph.Finish(path);
}

absl::StatusOr<ExprId> ContainingElements(ExpressionPool& pool, ExprId comma, ExprId item,
                                          ExprId matching, const ContainsRules& rules,
                                          const std::string& path) {
  const int64_t cap = CountCap(rules.min, rules.max);
  const bool is_bounded = rules.max_matching != kUnbounded;
  const int64_t matching_cap = is_bounded ? rules.max_matching : rules.min_matching;
  using Key = std::pair<int64_t, int64_t>;  // elements, matching ones
  GraphOf<Key> graph(pool);
  graph.Node({0, 0});
  int32_t node = 0;
  for (Key key; graph.Next(node, key);) {
    // No structured binding: Clang 14 cannot capture one.
    const int64_t count = key.first, matched = key.second;
    if (count >= rules.min && matched >= rules.min_matching) graph.SetFinal(node);
    if (rules.max != kUnbounded && count >= rules.max) continue;
    const int64_t more = std::min(cap, count + 1);
    const auto read = [&](ExprId text, int64_t now) {
      graph.Read(node, count > 0 ? pool.Concat({comma, text}) : text, {more, now});
    };
    read(item, matched);
    if (matched < matching_cap) read(matching, matched + 1);
  }
  return graph.Finish(path);
}

absl::StatusOr<ExprId> DistinctElements(ExpressionPool& pool, ExprId comma,
                                        const std::vector<ExprId>& values, int64_t min, int64_t max,
                                        const std::string& path) {
  if (values.size() > kPermutedValuesMax) {
    std::vector<JsonMember> members;
    for (ExprId value : values) members.push_back({"", value, true});
    return CountedMembers(pool, comma, members, std::nullopt,
                          {.min = min, .max = max, .dependencies = {}}, path);
  }
  GraphOf<uint32_t> graph(pool);  // the values that have come
  graph.Node(0);
  int32_t node = 0;
  for (uint32_t used = 0; graph.Next(node, used);) {
    const int64_t count = std::popcount(used);
    if (count >= min) graph.SetFinal(node);
    if (max != kUnbounded && count >= max) continue;
    for (size_t i = 0; i < values.size(); ++i) {
      if ((used >> i & 1) != 0) continue;
      graph.Read(node, count > 0 ? pool.Concat({comma, values[i]}) : values[i],
                 used | uint32_t{1} << i);
    }
  }
  return graph.Finish(path);
}

}  // namespace oneai::serving
