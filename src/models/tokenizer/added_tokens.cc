#include "models/tokenizer/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "models/tokenizer/unicode_text.h"

namespace oneai::models {
namespace {

// \w of the reference's regular expressions: alphabetic, mark, decimal number, connector
// punctuation, joiner.
bool IsWordChar(uint32_t code_point) {
  if (code_point > 0x10FFFF) return false;
  const UChar32 c = static_cast<UChar32>(code_point);
  return u_isUAlphabetic(c) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         (U_MASK(u_charType(c)) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool IsSpaceAt(absl::string_view text, size_t pos, size_t& end) {
  const Utf8Char c = DecodeUtf8(text, pos);
  end = pos + c.bytes;
  return ClassOf(c.code_point) == CharClass::kSpace;
}

size_t CharBefore(absl::string_view text, size_t pos) {
  size_t start = pos - 1;
  while (start > 0 && pos - start < 4 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80)
    --start;
  return start;
}

size_t SpaceBefore(absl::string_view text, size_t pos, size_t floor) {
  while (pos > floor) {
    const size_t start = CharBefore(text, pos);
    size_t end = 0;
    if (start < floor || !IsSpaceAt(text, start, end) || end != pos) break;
    pos = start;
  }
  return pos;
}

size_t SpaceAfter(absl::string_view text, size_t pos) {
  size_t end = 0;
  while (pos < text.size() && IsSpaceAt(text, pos, end)) pos = end;
  return pos;
}

bool InsideWord(absl::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordChar(DecodeUtf8(text, CharBefore(text, begin)).code_point)) return true;
  return end < text.size() && IsWordChar(DecodeUtf8(text, end).code_point);
}

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token) {
  if (token.content.empty()) return;
  first_bytes_[static_cast<uint8_t>(token.content[0])] = true;
  uint32_t node = 0;
  for (const char byte : token.content) {
    const uint64_t key = static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
    auto [it, inserted] = edges_.emplace(key, static_cast<uint32_t>(token_at_.size()));
    if (inserted) token_at_.push_back(-1);
    node = it->second;
  }
  token_at_[node] = static_cast<int>(tokens_.size());
  tokens_.push_back(token);
}

int AddedTokenMatcher::LongestAt(absl::string_view text, size_t pos, size_t& end) const {
  int longest = -1;
  uint32_t node = 0;
  for (size_t at = pos; at < text.size(); ++at) {
    auto it = edges_.find(static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(text[at]));
    if (it == edges_.end()) break;
    node = it->second;
    if (token_at_[node] >= 0) {
      longest = token_at_[node];
      end = at + 1;
    }
  }
  return longest;
}

void AddedTokenMatcher::Split(absl::string_view text, bool match_special,
                              absl::FunctionRef<void(absl::string_view)> text_part,
                              absl::FunctionRef<void(TokenId)> token) const {
  size_t done = 0;  // everything before it has been reported
  for (size_t pos = 0; pos < text.size();) {
    size_t end = 0;
    const int index =
        first_bytes_[static_cast<uint8_t>(text[pos])] ? LongestAt(text, pos, end) : -1;
    if (index < 0) {
      ++pos;
      continue;
    }
    const AddedToken& match = tokens_[index];
    if ((match.special && !match_special) || (match.single_word && InsideWord(text, pos, end))) {
      pos = end;  // as the reference does: the match is passed over, not shortened
      continue;
    }
    const size_t begin = match.lstrip ? SpaceBefore(text, pos, done) : pos;
    if (match.rstrip) end = SpaceAfter(text, end);
    if (begin > done) text_part(text.substr(done, begin - done));
    token(match.id);
    done = pos = end;
  }
  if (done < text.size()) text_part(text.substr(done));
}

}  // namespace oneai::models
