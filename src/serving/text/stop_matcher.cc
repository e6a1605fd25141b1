#include "serving/text/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai::serving {

StopMatcher::StopMatcher(std::vector<std::string> stops, StopText stop_text)
    : stops_(std::move(stops)), stop_text_(stop_text) {}

StopMatcher::Result StopMatcher::Append(absl::string_view text) {
  absl::StrAppend(&pending_, text);
  size_t best_begin = std::string::npos, best_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = pending_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_begin = begin;
      best_end = end;
    }
  }
  Result result;
  if (best_end != std::string::npos) {
    result.matched = pending_.substr(best_begin, best_end - best_begin);
    result.text = pending_.substr(0, stop_text_ == StopText::kKeep ? best_end : best_begin);
    pending_.clear();
    return result;
  }
  const size_t num_shown = pending_.size() - HeldLength();
  result.text = pending_.substr(0, num_shown);
  pending_.erase(0, num_shown);
  return result;
}

// The longest end of pending_ that is the beginning of a stop string.
size_t StopMatcher::HeldLength() const {
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, pending_.size()); n > held; --n) {
      if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) held = n;
    }
  }
  return held;
}

std::string StopMatcher::Flush() { return std::exchange(pending_, ""); }

}  // namespace oneai::serving
