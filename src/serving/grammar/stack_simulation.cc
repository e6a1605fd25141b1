#include "serving/grammar/stack_simulation.h"

#include <algorithm>

namespace oneai::serving {
namespace {

uint64_t Key(int32_t resume, int32_t below) {
  return static_cast<uint64_t>(static_cast<uint32_t>(resume)) << 32 | static_cast<uint32_t>(below);
}

// Up to so many items, looking at each is faster than a table.
constexpr size_t kListedMax = 12;
// A power of two, and several times what is met for one byte, so that a search ends soon.
constexpr size_t kNumSlots = 4096;
static_assert(kNumSlots >= 2 * kStepWorkMax);

size_t SlotOf(StackItem item) {
  const uint64_t mixed = Key(item.state, item.stack) * 0x9E3779B97F4A7C15u;
  return mixed >> 40 & (kNumSlots - 1);
}

}  // namespace

bool StackItemSet::Insert(StackItem item) {
  if (has_table_) return InsertInTable(item);
  if (std::find(items_.begin(), items_.end(), item) != items_.end()) return false;
  if (items_.size() < kListedMax) {
    items_.push_back(item);
    return true;
  }
  has_table_ = true;
  slots_.assign(kNumSlots, 0);
  for (size_t i = 0; i < items_.size(); ++i) {
    size_t slot = SlotOf(items_[i]);
    while (slots_[slot] != 0) slot = (slot + 1) & (kNumSlots - 1);
    slots_[slot] = static_cast<uint16_t>(i + 1);
  }
  return InsertInTable(item);
}

bool StackItemSet::InsertInTable(StackItem item) {
  size_t slot = SlotOf(item);
  for (; slots_[slot] != 0; slot = (slot + 1) & (kNumSlots - 1)) {
    if (items_[slots_[slot] - 1] == item) return false;
  }
  items_.push_back(item);
  slots_[slot] = static_cast<uint16_t>(items_.size());
  return true;
}

void StackItemSet::Clear() {
  items_.clear();
  has_table_ = false;
}

int32_t StackArena::Push(int32_t resume, int32_t stack, int32_t depth_max) {
  if (nodes_[stack].depth >= depth_max) return -1;
  const auto [it, added] =
      by_content_.try_emplace(Key(resume, stack), static_cast<int32_t>(nodes_.size()));
  if (added) nodes_.push_back({resume, stack, nodes_[stack].depth + 1});
  return it->second;
}

void StackArena::Truncate(int64_t num_nodes) {
  while (this->num_nodes() > num_nodes) {
    by_content_.erase(Key(nodes_.back().resume, nodes_.back().below));
    nodes_.pop_back();
  }
}

bool StackSimulation::IsWithinDepth(int32_t state, int32_t stack) {
  const int32_t depth = arena_.depth(stack) + automaton_.DepthNeeded(state);
  depth_max_ = std::max(depth_max_, depth);
  return depth <= automaton_.call_depth_max();
}

void StackSimulation::Enter(int32_t state, int32_t stack, std::vector<StackItem>& out) {
  step_work_ = 0;
  seen_.Clear();
  Follow({state, stack}, out, out.size());
  work_ += step_work_;
  step_work_max_ = std::max(step_work_max_, step_work_);
}

void StackSimulation::Follow(StackItem from, std::vector<StackItem>& out, size_t begin) {
  auto add_to_out = [&](StackItem item) {
    if (out.size() - begin >= static_cast<size_t>(kStackItemsMax)) {
      dropped_ = true;
      return;
    }
    out.push_back(item);
  };
  auto follow = [&](StackItem item) {
    if (step_work_ < kStepWorkMax) {
      ++step_work_;
      pending_.push_back(item);
    } else {
      dropped_ = true;
    }
  };
  pending_.clear();
  follow(from);
  while (!pending_.empty()) {
    const StackItem item = pending_.back();
    pending_.pop_back();
    if (!seen_.Insert(item)) continue;
    if (automaton_.HasBytes(item.state)) add_to_out(item);
    if (automaton_.IsFinal(item.state)) {
      if (item.stack != 0) {
        follow({arena_.resume(item.stack), arena_.below(item.stack)});
      } else if (seen_.Insert({StackItem::kEnded, 0})) {
        add_to_out({StackItem::kEnded, 0});
      }
    }
    for (const GrammarCall& call : automaton_.Calls(item.state)) {
      if (step_work_ >= kStepWorkMax) {
        dropped_ = true;
        break;
      }
      // Who has nothing left to do need not be returned to: right recursion then needs no stack.
      const bool is_tail = automaton_.IsExit(call.resume);
      const int32_t callee_stack =
          is_tail ? item.stack : arena_.Push(call.resume, item.stack, automaton_.call_depth_max());
      // Whatever is followed can be finished within the allowed depth: no dead ends.
      if (callee_stack < 0 || !IsWithinDepth(call.callee, callee_stack) ||
          !IsWithinDepth(call.resume, item.stack)) {
        dropped_ = true;
        continue;
      }
      follow({call.callee, callee_stack});
    }
  }
}

bool StackSimulation::StepPlain(StackItem item, uint8_t byte, std::vector<StackItem>& out) {
  if (item.state == StackItem::kEnded) return true;
  const int32_t next = automaton_.Next(item.state, byte);
  if (next != GrammarAutomaton::kNoState) {
    if (!automaton_.IsPlain(next) || !IsWithinDepth(next, item.stack)) return false;
    out.push_back({next, item.stack});
    items_max_ = std::max<int64_t>(items_max_, 1);
  }
  ++work_;
  return true;
}

void StackSimulation::Step(size_t from, size_t to, uint8_t byte, std::vector<StackItem>& out) {
  const size_t begin = out.size();
  if (to - from == 1 && StepPlain(out[from], byte, out)) return;
  step_work_ = 0;
  seen_.Clear();
  for (size_t i = from; i < to; ++i) {
    const StackItem item = out[i];
    if (item.state == StackItem::kEnded) continue;
    ++work_;
    const int32_t next = automaton_.Next(item.state, byte);
    if (next == GrammarAutomaton::kNoState) continue;
    if (!IsWithinDepth(next, item.stack)) {
      dropped_ = true;
    } else if (out.size() == begin && automaton_.IsPlain(next)) {
      seen_.Insert({next, item.stack});
      out.push_back({next, item.stack});
    } else {
      Follow({next, item.stack}, out, begin);
    }
  }
  work_ += step_work_;
  step_work_max_ = std::max(step_work_max_, step_work_);
  items_max_ = std::max(items_max_, static_cast<int64_t>(out.size() - begin));
}

}  // namespace oneai::serving
