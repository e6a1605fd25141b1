#include "serving/grammar/stack_simulation.h"

#include <algorithm>

namespace oneai::serving {
namespace {

uint64_t Key(int32_t resume, int32_t below) {
  return static_cast<uint64_t>(static_cast<uint32_t>(resume)) << 32 | static_cast<uint32_t>(below);
}

}  // namespace

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

void StackSimulation::Enter(int32_t state, int32_t stack, std::vector<StackItem>& out,
                            size_t begin) {
  auto add_to_out = [&](StackItem item) {
    if (std::find(out.begin() + begin, out.end(), item) != out.end()) return;
    if (out.size() - begin >= static_cast<size_t>(kStackItemsMax)) {
      dropped_ = true;
      return;
    }
    out.push_back(item);
  };
  seen_.clear();
  pending_.assign(1, {state, stack});
  while (!pending_.empty()) {
    const StackItem item = pending_.back();
    pending_.pop_back();
    if (std::find(seen_.begin(), seen_.end(), item) != seen_.end()) continue;
    if (++step_work_ > kStepWorkMax) {
      dropped_ = true;
      return;
    }
    seen_.push_back(item);
    if (automaton_.HasBytes(item.state)) add_to_out(item);
    if (automaton_.IsFinal(item.state)) {
      if (item.stack == 0) {
        add_to_out({StackItem::kEnded, 0});
      } else {
        pending_.push_back({arena_.resume(item.stack), arena_.below(item.stack)});
      }
    }
    for (const GrammarCall& call : automaton_.Calls(item.state)) {
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
      pending_.push_back({call.callee, callee_stack});
    }
  }
}

void StackSimulation::Step(size_t from, size_t to, uint8_t byte, std::vector<StackItem>& out) {
  const size_t begin = out.size();
  step_work_ = 0;
  for (size_t i = from; i < to; ++i) {
    const StackItem item = out[i];
    if (item.state == StackItem::kEnded) continue;
    ++work_;
    const int32_t next = automaton_.Next(item.state, byte);
    if (next == GrammarAutomaton::kNoState) continue;
    if (!IsWithinDepth(next, item.stack)) {
      dropped_ = true;
    } else if (out.size() == begin && automaton_.IsPlain(next)) {
      out.push_back({next, item.stack});
    } else {
      Enter(next, item.stack, out, begin);
    }
  }
  work_ += step_work_;
  step_work_max_ = std::max(step_work_max_, step_work_);
  items_max_ = std::max(items_max_, static_cast<int64_t>(out.size() - begin));
}

}  // namespace oneai::serving
