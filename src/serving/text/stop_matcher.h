// File: serving/text/stop_matcher.h
//
// Finds stop strings in streamed text and never lets a part of one out.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::serving {

// Whether the stop string that ends a text is part of it.
enum class StopText { kDrop, kKeep };

// Thread-compatible.
class StopMatcher {
 public:
  // None of `stops` is empty.
  StopMatcher(std::vector<std::string> stops, StopText stop_text);

  struct Result {
    std::string text;     // may be shown
    std::string matched;  // the stop string that ends the text; empty: none yet
  };
  // The match that is complete first wins, the longest one of those that end together: the result
  // does not depend on how the text is cut into pieces. Text that may be the beginning of a stop
  // string is held back. After a match, do not call again.
  Result Append(absl::string_view text);
  // What is held back: the text ends here.
  std::string Flush();

 private:
  size_t HeldLength() const;

  const std::vector<std::string> stops_;
  const StopText stop_text_;
  std::string pending_;
};

}  // namespace oneai::serving
