#include "serving/grammar/grammar_matcher.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "models/tokenizer/unicode_text.h"
#include "serving/grammar/grammar_automaton.h"
#include "serving/grammar/mask_cache.h"

namespace oneai::serving {
namespace {

constexpr size_t kForcedBytesMax = 4096;

void AllowToken(int32_t token, absl::Span<uint64_t> allowed) {
  if (!allowed.empty()) allowed[token / 64] |= uint64_t{1} << (token % 64);
}

bool Ended(absl::Span<const StackItem> items) {
  return std::any_of(items.begin(), items.end(),
                     [](StackItem i) { return i.state == StackItem::kEnded; });
}

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar)
    : grammar_(std::move(grammar)) {
  StackSimulation(grammar_->automaton(), arena_).Enter(grammar_->automaton().start(), 0, now_);
}

bool GrammarMatcher::CanEnd() const { return finished_ || Ended(now_); }

void GrammarMatcher::PushSnapshot() {
  if (static_cast<int64_t>(snapshots_.size()) == 2 * kRollbackTokensMax) {
    const int64_t first = snapshots_[kRollbackTokensMax].first_item;
    history_.erase(history_.begin(), history_.begin() + first);
    snapshots_.erase(snapshots_.begin(), snapshots_.begin() + kRollbackTokensMax);
    for (Snapshot& s : snapshots_) s.first_item -= first;
  }
  snapshots_.push_back({.first_item = static_cast<int64_t>(history_.size()),
                        .num_nodes = arena_.num_nodes(),
                        .finished = finished_});
  history_.insert(history_.end(), now_.begin(), now_.end());
  ++num_accepted_;
  reach_ = Reach::kUnknown;
}

bool GrammarMatcher::Accept(int32_t token) {
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  if (finished_ || token < 0 || token >= vocabulary.num_tokens()) return false;
  if (vocabulary.IsEnd(token)) {
    if (!Ended(now_)) return false;
    PushSnapshot();
    finished_ = true;
    return true;
  }
  const absl::string_view bytes = vocabulary.Bytes(token);
  if (bytes.empty()) return false;
  if (bytes.size() > 1) {
    if (reach_ == Reach::kUnknown) reach_ = Find({});
    if (reach_ == Reach::kSingleBytes) return false;
  }
  const int64_t num_nodes = arena_.num_nodes();
  StackSimulation simulation(grammar_->automaton(), arena_);
  scratch_.assign(now_.begin(), now_.end());
  size_t from = 0;
  for (char c : bytes) {
    const size_t to = scratch_.size();
    simulation.Step(from, to, static_cast<uint8_t>(c), scratch_);
    if (scratch_.size() == to) {
      arena_.Truncate(num_nodes);
      return false;
    }
    from = to;
  }
  PushSnapshot();
  snapshots_.back().num_nodes = num_nodes;
  now_.assign(scratch_.begin() + from, scratch_.end());
  return true;
}

void GrammarMatcher::Rollback(int64_t num_tokens) {
  num_tokens = std::min(num_tokens, static_cast<int64_t>(snapshots_.size()));
  if (num_tokens <= 0) return;
  const size_t index = snapshots_.size() - num_tokens;
  const Snapshot& s = snapshots_[index];
  const int64_t last = index + 1 < snapshots_.size() ? snapshots_[index + 1].first_item
                                                     : static_cast<int64_t>(history_.size());
  now_.assign(history_.begin() + s.first_item, history_.begin() + last);
  history_.resize(s.first_item);
  arena_.Truncate(s.num_nodes);
  finished_ = s.finished;
  snapshots_.resize(index);
  num_accepted_ -= num_tokens;
  reach_ = Reach::kUnknown;
}

void GrammarMatcher::FillMask(absl::Span<uint64_t> allowed) {
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  assert(static_cast<int64_t>(allowed.size()) == vocabulary.num_mask_words());
  std::fill(allowed.begin(), allowed.end(), 0);
  mask_work_ = 0;
  if (!finished_) {
    if (reach_ != Reach::kSingleBytes) reach_ = Find(allowed);
    if (reach_ == Reach::kSingleBytes) FillSingleBytes(allowed);
  }
  if (CanEnd()) {
    for (int32_t id : vocabulary.end_ids()) AllowToken(id, allowed);
  }
}

GrammarMatcher::Reach GrammarMatcher::Find(absl::Span<uint64_t> allowed) {
  mask_work_ = 0;
  if (FillFromCache(allowed)) return Reach::kAllTokens;
  std::fill(allowed.begin(), allowed.end(), 0);
  if (FillByWalk(allowed)) return Reach::kAllTokens;
  std::fill(allowed.begin(), allowed.end(), 0);
  return Reach::kSingleBytes;
}

// False when the masks of states would allow more than Accept does, or there is too much to read.
bool GrammarMatcher::FillFromCache(absl::Span<uint64_t> allowed) {
  const GrammarAutomaton& automaton = grammar_->automaton();
  int64_t num_items = 0, step_work = 0;  // that Accept may have at once
  for (const StackItem& item : now_) {
    if (item.state == StackItem::kEnded) continue;
    std::unique_ptr<StateMask> own;
    const StateMask* mask = grammar_->masks().Get(item.state, own);
    num_items += mask->items_max;
    step_work += mask->step_work_max;
    if (mask->is_partial || num_items > kStackItemsMax || step_work > kStepWorkMax ||
        arena_.depth(item.stack) + mask->depth_max > automaton.call_depth_max())
      return false;
    if (!allowed.empty()) {
      for (size_t w = 0; w < mask->allowed_bits.size(); ++w) allowed[w] |= mask->allowed_bits[w];
    }
    for (int32_t t : mask->allowed_ids) AllowToken(t, allowed);
    if (item.stack == 0 || mask->suffixes.empty()) continue;
    StackSimulation simulation(automaton, arena_);
    if (!AllowSuffixes(*mask, item.stack, simulation, allowed)) return false;
    num_items += simulation.items_max();
    step_work += simulation.step_work_max();
    if (simulation.dropped()) return false;
  }
  return num_items <= kStackItemsMax && step_work <= kStepWorkMax;
}

// Reads what is left of the tokens that leave the rule of `stack`'s top, in their order, so that
// what they share is read once. False when that is too much.
bool GrammarMatcher::AllowSuffixes(const StateMask& mask, int32_t stack,
                                   StackSimulation& simulation, absl::Span<uint64_t> allowed) {
  const int64_t num_nodes = arena_.num_nodes(), work_before = mask_work_;
  scratch_.clear();
  simulation.Enter(arena_.resume(stack), arena_.below(stack), scratch_);
  depth_begin_.assign({0, scratch_.size()});  // items after d bytes begin at depth_begin_[d]
  for (size_t i = 0; i < mask.suffixes.size() && mask_work_ <= kMaskWorkMax; ++i) {
    const StateMask::Suffix& s = mask.suffixes[i];
    mask_work_ = work_before + static_cast<int64_t>(i) + simulation.work();
    // What was read of the last suffix: if that was less than the two share, this one fails there.
    const size_t num_read = depth_begin_.size() - 2, shared = s.num_shared;
    if (shared > num_read) continue;
    const absl::string_view text = mask.suffix(s);
    depth_begin_.resize(shared + 2);
    scratch_.resize(depth_begin_.back());
    size_t depth = shared;
    for (; depth < text.size(); ++depth) {
      const size_t to = scratch_.size();
      simulation.Step(depth_begin_[depth], to, static_cast<uint8_t>(text[depth]), scratch_);
      if (scratch_.size() == to) break;
      depth_begin_.push_back(scratch_.size());
    }
    if (depth < text.size()) continue;
    for (int32_t t = s.token_begin; t < s.token_end; ++t)
      AllowToken(mask.suffix_tokens[t], allowed);
  }
  arena_.Truncate(num_nodes);
  return mask_work_ <= kMaskWorkMax;
}

// Reads every token from where the text stands, sharing common beginnings. False when that is too
// much.
bool GrammarMatcher::FillByWalk(absl::Span<uint64_t> allowed) {
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  const absl::Span<const TokenVocabulary::Node> trie = vocabulary.trie();
  StackSimulation simulation(grammar_->automaton(), arena_);
  const int64_t num_nodes = arena_.num_nodes(), work_before = mask_work_;
  scratch_.assign(now_.begin(), now_.end());
  depth_begin_.assign({0, scratch_.size()});
  for (int32_t i = 0; i < static_cast<int32_t>(trie.size()) && mask_work_ <= kMaskWorkMax;) {
    const TokenVocabulary::Node& node = trie[i];
    depth_begin_.resize(node.depth + 1);
    scratch_.resize(depth_begin_.back());
    const size_t from = depth_begin_[node.depth - 1], to = scratch_.size();
    simulation.Step(from, to, node.byte, scratch_);
    mask_work_ = work_before + simulation.work();
    if (scratch_.size() == to) {
      i = node.skip;
      continue;
    }
    depth_begin_.push_back(scratch_.size());
    for (int32_t t = node.token; t >= 0; t = vocabulary.NextSame(t)) AllowToken(t, allowed);
    ++i;
  }
  arena_.Truncate(num_nodes);
  return mask_work_ <= kMaskWorkMax;
}

// Of bytes that no state tells apart, the first answers for all.
void GrammarMatcher::FillSingleBytes(absl::Span<uint64_t> allowed) {
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  const absl::Span<const TokenVocabulary::Node> trie = vocabulary.trie();
  const GrammarAutomaton& automaton = grammar_->automaton();
  StackSimulation simulation(automaton, arena_);
  const int64_t num_nodes = arena_.num_nodes();
  enum : uint8_t { kUnknown, kNo, kYes };
  std::array<uint8_t, 256> is_allowed = {};  // by class of bytes
  for (int32_t i = 0; i < static_cast<int32_t>(trie.size()); i = trie[i].skip) {
    uint8_t& known = is_allowed[automaton.ByteClass(trie[i].byte)];
    if (known == kUnknown) {
      scratch_.assign(now_.begin(), now_.end());
      simulation.Step(0, now_.size(), trie[i].byte, scratch_);
      arena_.Truncate(num_nodes);
      known = scratch_.size() > now_.size() ? kYes : kNo;
    }
    if (known == kNo) continue;
    for (int32_t t = trie[i].token; t >= 0; t = vocabulary.NextSame(t)) AllowToken(t, allowed);
  }
  mask_work_ += simulation.work();
}

std::string GrammarMatcher::ForcedBytes() {
  std::string forced;
  if (finished_) return forced;
  const GrammarAutomaton& automaton = grammar_->automaton();
  const int64_t num_nodes = arena_.num_nodes();
  StackSimulation simulation(automaton, arena_);
  scratch_.assign(now_.begin(), now_.end());
  while (forced.size() < kForcedBytesMax) {
    int32_t byte = -1;
    bool has_choice = false;
    for (const StackItem& item : scratch_) {
      const int32_t only = item.state == StackItem::kEnded ? -1 : automaton.OnlyByte(item.state);
      has_choice = has_choice || only < 0 || (byte >= 0 && only != byte);
      byte = only;
    }
    if (has_choice || byte < 0) break;
    const size_t to = scratch_.size();
    simulation.Step(0, to, static_cast<uint8_t>(byte), scratch_);
    scratch_.erase(scratch_.begin(), scratch_.begin() + to);
    forced.push_back(static_cast<char>(byte));
  }
  arena_.Truncate(num_nodes);
  forced.resize(forced.size() - models::IncompleteTailBytes(forced));
  return forced;
}

std::vector<int32_t> GrammarMatcher::ForcedTokens(
    absl::FunctionRef<std::vector<int32_t>(absl::string_view)> encode) {
  const std::string forced = ForcedBytes();
  if (forced.empty()) return {};
  std::vector<int32_t> tokens = encode(forced);
  // A tokenizer may normalise; only tokens that spell the bytes as they are will do. And where a
  // text has very many readings, Accept takes no longer ones: see kMaskWorkMax.
  size_t num_bytes = 0, num_good = 0;
  GrammarMatcher ahead = *this;
  for (; num_good + 1 < tokens.size(); ++num_good) {
    const absl::string_view bytes = grammar_->vocabulary().Bytes(tokens[num_good]);
    if (bytes.empty() || absl::string_view(forced).substr(num_bytes, bytes.size()) != bytes) break;
    if (!ahead.Accept(tokens[num_good])) break;
    num_bytes += bytes.size();
  }
  tokens.resize(num_good);
  return tokens;
}

}  // namespace oneai::serving
