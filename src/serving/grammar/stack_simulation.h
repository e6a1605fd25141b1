// File: serving/grammar/stack_simulation.h
//
// Runs a GrammarAutomaton over bytes. Where a text stands is a set of items, each a state with the
// stack of callers that wait for its rule's end.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serving/grammar/grammar_automaton.h"

namespace oneai::serving {

// Ways to read a text that are followed at once. An ambiguous grammar can have more; those beyond
// are dropped, so that the grammar then allows less than it says, never more.
inline constexpr int64_t kStackItemsMax = 128;
// Calls and returns that are followed for one byte, likewise.
inline constexpr int64_t kStepWorkMax = 1024;

struct StackItem {
  int32_t state;  // kEnded: the outermost rule has ended
  int32_t stack;  // a node of the arena; 0: nobody waits
  static constexpr int32_t kEnded = -1;
  friend bool operator==(const StackItem&, const StackItem&) = default;
};

// Stacks as a tree that shares what is common; equal stacks are one node, so they are compared by
// number. Thread-compatible.
class StackArena {
 public:
  StackArena() { Truncate(1); }
  // The stack with `resume` on top of `stack`; -1 when it would be deeper than `depth_max`.
  int32_t Push(int32_t resume, int32_t stack, int32_t depth_max);
  int32_t resume(int32_t stack) const { return nodes_[stack].resume; }
  int32_t below(int32_t stack) const { return nodes_[stack].below; }
  int32_t depth(int32_t stack) const { return nodes_[stack].depth; }
  int64_t num_nodes() const { return static_cast<int64_t>(nodes_.size()); }
  // Forgets the nodes made since there were `num_nodes` (at least 1).
  void Truncate(int64_t num_nodes);

 private:
  struct Node {
    int32_t resume;
    int32_t below;
    int32_t depth;
  };
  std::vector<Node> nodes_ = {{0, 0, 0}};
  absl::flat_hash_map<uint64_t, int32_t> by_content_;  // resume << 32 | below
};

// Items that were met, each once: a list, and a table over it once it is long.
class StackItemSet {
 public:
  // False when it is in the set already.
  bool Insert(StackItem item);
  void Clear();

 private:
  bool InsertInTable(StackItem item);
  std::vector<StackItem> items_;
  std::vector<uint16_t> slots_;  // 1 + the place in items_, 0: free
  bool has_table_ = false;
};

// Steps sets of items. Borrows both, which must outlive it. Thread-compatible.
class StackSimulation {
 public:
  StackSimulation(const GrammarAutomaton& automaton, StackArena& arena)
      : automaton_(automaton), arena_(arena) {}

  // Appends to `out` where a text stands that enters `state` over `stack`: the items from which a
  // byte can be read, after any calls and returns, and {kEnded, 0} when the text may end.
  void Enter(int32_t state, int32_t stack, std::vector<StackItem>& out);

  // Appends to `items` where the text stands after `byte` if it stood in items[from, to). The order
  // is a function of the items, so that two runs over the same bytes drop the same ones when there
  // are too many.
  void Step(size_t from, size_t to, uint8_t byte, std::vector<StackItem>& items);

  // Items were dropped since construction: see kStackItemsMax, kStepWorkMax and
  // GrammarLimits::call_depth_max.
  bool dropped() const { return dropped_; }
  // Work since construction in calls, returns and bytes read, and the most for one byte; the most
  // items after one byte.
  int64_t work() const { return work_; }
  int64_t step_work_max() const { return step_work_max_; }
  int64_t items_max() const { return items_max_; }
  // The deepest stack that was followed, with what its items need to end.
  int32_t depth_max() const { return depth_max_; }

 private:
  const GrammarAutomaton& automaton_;
  StackArena& arena_;
  std::vector<StackItem> pending_;
  StackItemSet seen_;  // of this byte
  // The step of one item that needs no call and no return: most of them. False: another one.
  bool StepPlain(StackItem item, uint8_t byte, std::vector<StackItem>& out);
  // Follows calls and returns from where a byte led.
  void Follow(StackItem from, std::vector<StackItem>& out, size_t begin);
  // The item can be finished within the allowed depth; notes that it was followed.
  bool IsWithinDepth(int32_t state, int32_t stack);

  bool dropped_ = false;
  int32_t depth_max_ = 0;
  int64_t work_ = 0, step_work_ = 0, step_work_max_ = 0, items_max_ = 0;
};

}  // namespace oneai::serving
