// File: serving/text/stop_matcher.h
//
// Finds stop strings in streamed text and never lets a part of one out.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace oneai::serving {

// Thread-compatible.
class StopMatcher {
 public:
  // None of `stops` is empty. With `include_stop` the matched string is part of the text.
  StopMatcher(std::vector<std::string> stops, bool include_stop);

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
  const bool include_stop_;
  std::string pending_;
};

}  // namespace oneai::serving
