#include "serving/engine/prompt_lookup.h"

#include <algorithm>

namespace oneai::serving {
namespace {

constexpr int64_t kNgramMin = 2;
constexpr int64_t kNgramMax = 4;

}  // namespace

// One pass from the end: the match is extended backwards at each place where the last token stands.
absl::Span<const int32_t> LookUpContinuation(absl::Span<const int32_t> tokens, int64_t ngram_min,
                                             int64_t ngram_max, int64_t num_max) {
  const int64_t last = static_cast<int64_t>(tokens.size()) - 1;
  const int64_t first = std::max<int64_t>(0, last - kLookupWindow);
  int64_t best_length = ngram_min - 1, best_end = -1;
  for (int64_t end = last - 1; end >= first && best_length < ngram_max; --end) {
    int64_t length = 0;
    while (length < ngram_max && end - length >= first &&
           tokens[end - length] == tokens[last - length]) {
      ++length;
    }
    if (length > best_length) {
      best_length = length;
      best_end = end;
    }
  }
  if (best_end < 0) return {};
  return tokens.subspan(best_end + 1, num_max);
}

absl::Status PromptLookup::Propose(absl::Span<const DraftJob> jobs) {
  for (const DraftJob& job : jobs) {
    const absl::Span<const int32_t> found =
        LookUpContinuation(job.tokens, kNgramMin, kNgramMax, job.num_drafts_max);
    job.drafts->assign(found.begin(), found.end());
  }
  return absl::OkStatus();
}

}  // namespace oneai::serving
