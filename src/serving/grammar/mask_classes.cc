#include "serving/grammar/mask_classes.h"

#include <numeric>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace oneai::serving {
namespace {

// Two independent mixes, so that a chance collision is out of the question (2^-128 per pair).
struct Signature {
  uint64_t a = 0x9E3779B97F4A7C15u, b = 0xC2B2AE3D27D4EB4Fu;
  void Add(uint64_t value) {
    a = (a ^ value) * 0xFF51AFD7ED558CCDu;
    a ^= a >> 32;
    b = (b + value) * 0xC4CEB9FE1A85EC53u;
    b ^= b >> 29;
  }
};

struct Run {  // consecutive byte classes with one target
  int32_t end;
  int32_t target;
};

}  // namespace

std::vector<int32_t> MaskClasses(const TransitionRows& rows, int64_t length_max, int64_t steps_max,
                                 int64_t& num_mask_classes) {
  const int64_t n = rows.num_states;
  std::vector<Run> runs;
  std::vector<int64_t> run_begin = {0};
  for (int64_t s = 0; s < n; ++s) {
    const int32_t* row = rows.next + s * rows.num_classes;
    for (int32_t c = 0; c < rows.num_classes; ++c) {
      if (c == 0 || row[c] != row[c - 1]) runs.push_back({c, row[c]});
      runs.back().end = c;
    }
    run_begin.push_back(static_cast<int64_t>(runs.size()));
  }
  std::vector<int32_t> classes(n), refined(n);
  const int64_t round_steps = static_cast<int64_t>(runs.size()) + rows.call_begin[n] + n;
  absl::flat_hash_map<std::pair<uint64_t, uint64_t>, int32_t> numbers;
  int64_t num_classes = 0, steps = 0;
  for (int64_t round = 0; round <= length_max; ++round) {
    steps += round_steps;
    if (steps > steps_max) {
      std::iota(classes.begin(), classes.end(), 0);
      num_mask_classes = n;
      return classes;
    }
    numbers.clear();
    for (int64_t s = 0; s < n; ++s) {
      Signature signature;
      signature.Add(rows.flags[s]);
      signature.Add(classes[s]);
      for (int64_t r = run_begin[s]; round > 0 && r < run_begin[s + 1]; ++r) {
        signature.Add(runs[r].end);
        signature.Add(runs[r].target < 0 ? ~uint64_t{0} : classes[runs[r].target]);
      }
      for (int32_t c = rows.call_begin[s]; round > 0 && c < rows.call_begin[s + 1]; ++c) {
        signature.Add(uint64_t{1} << 40 | classes[rows.calls[c].callee]);
        signature.Add(uint64_t{1} << 41 | classes[rows.calls[c].resume]);
      }
      refined[s] =
          numbers.try_emplace({signature.a, signature.b}, static_cast<int32_t>(numbers.size()))
              .first->second;
    }
    classes.swap(refined);
    const bool stable = static_cast<int64_t>(numbers.size()) == num_classes;
    num_classes = static_cast<int64_t>(numbers.size());
    if (stable) break;
  }
  num_mask_classes = num_classes;
  return classes;
}

}  // namespace oneai::serving
