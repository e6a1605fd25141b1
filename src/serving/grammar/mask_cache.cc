#include "serving/grammar/mask_cache.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace oneai::serving {
namespace {

// Tokens that leave their rule, with the length of what was read until then.
constexpr size_t kLeavingMax = 1 << 17;
// Bound of one walk, some milliseconds; a grammar has to be very ambiguous to need more.
constexpr int64_t kWalkWorkMax = 2'000'000;

struct Leaving {
  absl::string_view suffix;
  int32_t token;
};

size_t CommonPrefix(absl::string_view a, absl::string_view b) {
  size_t i = 0;
  while (i < std::min(a.size(), b.size()) && a[i] == b[i]) ++i;
  return i;
}

// Walks the trie from one state over an unknown stack.
class MaskWalk {
 public:
  MaskWalk(const GrammarAutomaton& automaton, const TokenVocabulary& vocabulary, int32_t state)
      : vocabulary_(vocabulary), simulation_(automaton, arena_) {
    items_.push_back({state, 0});
    begin_.assign(vocabulary.token_bytes_max() + 2, 0);
    num_nodes_.assign(vocabulary.token_bytes_max() + 2, 1);
    begin_[1] = 1;
  }

  int64_t Run() {
    const absl::Span<const TokenVocabulary::Node> trie = vocabulary_.trie();
    const int32_t end = static_cast<int32_t>(trie.size());
    int64_t num_steps = 0;
    int32_t dead_until = 0;  // nodes before it cannot be read within the rule
    for (int32_t i = 0; i < end && !is_partial(); ++num_steps) {
      const TokenVocabulary::Node& node = trie[i];
      while (!ends_.empty() && ends_.back() >= node.depth) ends_.pop_back();
      bool readable = i >= dead_until;
      if (readable && !Read(node)) {
        readable = false;
        dead_until = node.skip;
      }
      if (!readable && ends_.empty()) {
        i = node.skip;
        continue;
      }
      for (int32_t t = node.token; t >= 0; t = vocabulary_.NextSame(t)) {
        if (readable) {
          allowed_.push_back(t);
        } else if (leaving_.size() < kLeavingMax) {
          for (int32_t depth : ends_) leaving_.push_back({vocabulary_.Bytes(t).substr(depth), t});
        }
      }
      // The rule ended after this byte: everything below may go on in a caller.
      if (readable && ended_) ends_.push_back(node.depth);
      ++i;
    }
    return num_steps + simulation_.work();
  }

  bool is_partial() const {
    return simulation_.dropped() || leaving_.size() >= kLeavingMax ||
           simulation_.work() > kWalkWorkMax;
  }
  const StackSimulation& simulation() const { return simulation_; }
  std::vector<int32_t>& allowed() { return allowed_; }
  std::vector<Leaving>& leaving() { return leaving_; }

 private:
  // Items after `node`'s byte go to [begin_[depth], begin_[depth + 1]); false when there are none.
  bool Read(const TokenVocabulary::Node& node) {
    const int depth = node.depth;
    items_.resize(begin_[depth]);
    arena_.Truncate(num_nodes_[depth - 1]);
    simulation_.Step(begin_[depth - 1], begin_[depth], node.byte, items_);
    begin_[depth + 1] = items_.size();
    num_nodes_[depth] = arena_.num_nodes();
    ended_ = std::find(items_.begin() + begin_[depth], items_.end(),
                       StackItem{StackItem::kEnded, 0}) != items_.end();
    return items_.size() > begin_[depth];
  }

  const TokenVocabulary& vocabulary_;
  StackArena arena_;
  StackSimulation simulation_;
  std::vector<StackItem> items_;    // of all depths; begin_[d] is where depth d begins
  std::vector<size_t> begin_;       // [depth + 2]
  std::vector<int64_t> num_nodes_;  // of the arena, after depth
  bool ended_ = false;
  std::vector<int32_t> ends_;  // depths above the current node at which the rule can end
  std::vector<int32_t> allowed_;
  std::vector<Leaving> leaving_;
};

void PackSuffixes(std::vector<Leaving>& leaving, StateMask& mask) {
  std::sort(leaving.begin(), leaving.end(), [](const Leaving& a, const Leaving& b) {
    return std::tie(a.suffix, a.token) < std::tie(b.suffix, b.token);
  });
  absl::string_view last;
  for (size_t i = 0; i < leaving.size(); ++i) {
    if (i == 0 || leaving[i].suffix != last) {
      const int32_t begin = static_cast<int32_t>(mask.suffix_text.size());
      mask.suffix_text.append(leaving[i].suffix.data(), leaving[i].suffix.size());
      const int32_t first_token = static_cast<int32_t>(mask.suffix_tokens.size());
      mask.suffixes.push_back({begin, static_cast<int32_t>(mask.suffix_text.size()), first_token,
                               first_token,
                               static_cast<int32_t>(CommonPrefix(last, leaving[i].suffix))});
      last = leaving[i].suffix;
    }
    mask.suffix_tokens.push_back(leaving[i].token);
    mask.suffixes.back().token_end = static_cast<int32_t>(mask.suffix_tokens.size());
  }
}

}  // namespace

int64_t StateMask::num_bytes() const {
  return static_cast<int64_t>(sizeof(StateMask) + allowed_bits.size() * sizeof(uint64_t) +
                              (allowed_ids.size() + suffix_tokens.size()) * sizeof(int32_t) +
                              suffixes.size() * sizeof(Suffix) + suffix_text.size());
}

MaskCache::MaskCache(const GrammarAutomaton& automaton, const TokenVocabulary& vocabulary,
                     int64_t mask_bytes_max)
    : automaton_(automaton),
      vocabulary_(vocabulary),
      mask_bytes_max_(mask_bytes_max),
      masks_(automaton.num_mask_classes()) {}

MaskCache::~MaskCache() {
  for (std::atomic<const StateMask*>& mask : masks_) delete mask.load(std::memory_order_relaxed);
}

std::unique_ptr<StateMask> MaskCache::Compute(int32_t state, int64_t& num_steps) const {
  MaskWalk walk(automaton_, vocabulary_, state);
  num_steps = walk.Run();
  auto mask = std::make_unique<StateMask>();
  mask->is_partial = walk.is_partial();
  mask->depth_max = walk.simulation().depth_max();
  mask->items_max = walk.simulation().items_max();
  mask->step_work_max = walk.simulation().step_work_max();
  if (mask->is_partial) return mask;
  const size_t num_words = vocabulary_.num_mask_words();
  if (walk.allowed().size() > num_words * 2) {
    mask->allowed_bits.assign(num_words, 0);
    for (int32_t t : walk.allowed()) mask->allowed_bits[t / 64] |= uint64_t{1} << (t % 64);
  } else {
    mask->allowed_ids = walk.allowed();
  }
  PackSuffixes(walk.leaving(), *mask);
  return mask;
}

const StateMask* MaskCache::Get(int32_t state, std::unique_ptr<StateMask>& own) {
  std::atomic<const StateMask*>& slot = masks_[automaton_.MaskClass(state)];
  if (const StateMask* known = slot.load(std::memory_order_acquire)) return known;
  int64_t num_steps = 0;
  own = Compute(state, num_steps);
  const int64_t size = own->num_bytes();
  if (num_bytes_.fetch_add(size, std::memory_order_relaxed) + size > mask_bytes_max_) {
    num_bytes_.fetch_sub(size, std::memory_order_relaxed);
    return own.get();
  }
  const StateMask* expected = nullptr;
  if (slot.compare_exchange_strong(expected, own.get(), std::memory_order_acq_rel))
    return own.release();
  num_bytes_.fetch_sub(size, std::memory_order_relaxed);  // another thread was first
  own.reset();
  return expected;
}

void MaskCache::Warm(int64_t steps_max) {
  std::vector<bool> met(automaton_.num_states(), false);
  std::vector<int32_t> queue;
  auto meet = [&](int32_t s) {
    if (s < 0 || met[s]) return;
    met[s] = true;
    queue.push_back(s);
  };
  meet(automaton_.start());
  for (size_t i = 0; i < queue.size() && steps_max > 0; ++i) {
    const int32_t s = queue[i];
    for (const GrammarCall& call : automaton_.Calls(s)) {
      meet(call.callee);
      meet(call.resume);
    }
    for (int b = 0; b < 256; ++b) meet(automaton_.Next(s, static_cast<uint8_t>(b)));
    if (!automaton_.HasBytes(s)) continue;
    std::atomic<const StateMask*>& slot = masks_[automaton_.MaskClass(s)];
    if (slot.load(std::memory_order_relaxed) != nullptr) continue;
    int64_t num_steps = 0;
    std::unique_ptr<StateMask> mask = Compute(s, num_steps);
    steps_max -= num_steps + 64;
    const int64_t size = mask->num_bytes();
    if (num_bytes() + size > mask_bytes_max_) return;
    num_bytes_.fetch_add(size, std::memory_order_relaxed);
    slot.store(mask.release(), std::memory_order_release);
  }
}

}  // namespace oneai::serving
