#include "model_platform/evaluate/rolling_windows.h"

#include <algorithm>

namespace oneai::platform {

std::vector<RollingWindow> RollingWindows(int64_t num_tokens, int64_t max_length) {
  std::vector<RollingWindow> windows;
  for (int64_t scored = 0; scored < num_tokens;) {
    const int64_t count = std::min(max_length, num_tokens - scored);
    // Position p of [prefix, tokens...] predicts token p.
    const int64_t end = scored + count;
    const int64_t begin = scored == 0 ? 0 : std::max<int64_t>(0, end - max_length);
    windows.push_back({begin, end - begin, count});
    scored = end;
  }
  return windows;
}

}  // namespace oneai::platform
