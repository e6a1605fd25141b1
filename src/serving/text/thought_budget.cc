#include "serving/text/thought_budget.h"

#include "absl/strings/match.h"

namespace oneai::serving {
namespace {

constexpr absl::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// Bytes that must still come after the first one of a UTF-8 character.
int BytesAfter(uint8_t first) { return first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3; }

}  // namespace

ThoughtBudget::ThoughtBudget(const ThoughtLimit& limit)
    : limit_(limit),
      place_(limit.tokens_max < 0 ? Place::kAfter
             : limit.are_opened   ? Place::kThoughts
                                  : Place::kStart) {
  CloseIfSpent();
}

void ThoughtBudget::Push(absl::string_view bytes) {
  if (place_ == Place::kAfter) return;
  if (place_ == Place::kClosing) {
    if (++num_closing_ == limit_.closing.size()) place_ = Place::kAfter;
    return;
  }
  if (place_ == Place::kThoughts) ++num_tokens_;
  for (const char c : bytes) {
    const bool continues = (static_cast<uint8_t>(c) & 0xC0) == 0x80;
    missing_bytes_ = continues ? missing_bytes_ - (missing_bytes_ > 0 ? 1 : 0)
                               : BytesAfter(static_cast<uint8_t>(c));
    if (place_ == Place::kStart && tag_.empty() && IsBlank(c)) continue;
    const absl::string_view wanted = place_ == Place::kStart ? kThinkBegin : kThinkEnd;
    tag_.push_back(c);
    if (tag_ == wanted) {
      tag_.clear();
      place_ = place_ == Place::kStart ? Place::kThoughts : Place::kAfter;
    } else if (!absl::StartsWith(wanted, tag_)) {
      // '<' stands only at the beginning of a tag, so only the last byte may begin another one.
      if (place_ == Place::kStart) place_ = Place::kAfter;
      tag_ = c == '<' ? "<" : "";
    }
    if (place_ == Place::kAfter) return;
  }
  CloseIfSpent();
}

void ThoughtBudget::CloseIfSpent() {
  if (place_ == Place::kThoughts && missing_bytes_ == 0 && num_tokens_ >= limit_.tokens_max)
    place_ = Place::kClosing;
}

std::optional<int32_t> ThoughtBudget::Forced() const {
  if (place_ != Place::kClosing) return std::nullopt;
  return limit_.closing[num_closing_];
}

}  // namespace oneai::serving
