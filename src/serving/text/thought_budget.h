// File: serving/text/thought_budget.h
//
// Ends thoughts that have become too long: counts tokens between <think> and </think>, and says
// which tokens must follow when there have been enough.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::serving {

struct ThoughtLimit {
  int64_t tokens_max = -1;  // of the thoughts, without the tags; -1: no limit
  bool are_opened = false;  // the prompt ended in <think>; else the answer may begin with it
  std::vector<int32_t>
      closing;  // the tokens that end thoughts; at least one where there is a limit
};

// Thread-compatible. Thoughts that end in time are left alone, and so is everything after them.
class ThoughtBudget {
 public:
  // `limit` must outlive it.
  explicit ThoughtBudget(const ThoughtLimit& limit);

  // Counts an output token, whose bytes these are.
  void Push(absl::string_view bytes);
  // The only token that may come next; nullopt: any. Never in the middle of a character.
  std::optional<int32_t> Forced() const;

 private:
  enum class Place { kStart, kThoughts, kClosing, kAfter };
  void CloseIfSpent();

  const ThoughtLimit& limit_;
  Place place_;
  std::string tag_;         // the end of the text, as far as it may begin a tag
  int64_t num_tokens_ = 0;  // of the thoughts
  int missing_bytes_ = 0;   // of the last character
  size_t num_closing_ = 0;  // tokens of limit_.closing that have come
};

}  // namespace oneai::serving
