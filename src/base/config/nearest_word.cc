#include <algorithm>
#include <numeric>

#include "base/config/reader.h"

namespace oneai {
namespace {

// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours
// each cost one.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

constexpr size_t kWordBytesMax = 256;  // the distance costs the product of the lengths

}  // namespace

std::optional<std::string> NearestWord(absl::string_view word,
                                       const std::vector<std::string>& candidates) {
  if (word.size() > kWordBytesMax) return std::nullopt;
  const size_t allowed = std::min<size_t>(3, std::max<size_t>(1, word.size() / 3));
  std::optional<std::string> nearest;
  size_t distance_min = allowed + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kWordBytesMax) continue;
    const size_t distance = EditDistance(word, candidate);
    if (distance >= distance_min) continue;
    distance_min = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace oneai
