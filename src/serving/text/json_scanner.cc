#include "serving/text/json_scanner.h"

#include <cstring>

#include "absl/strings/ascii.h"

namespace oneai::serving {
namespace {

// What of a number was read, one state a letter; '0', 'd', 'f' and 'x' may be the end.
constexpr char kMinus = '-', kZero = '0', kDigits = 'd', kPoint = '.', kFraction = 'f',
               kExponent = 'e', kSign = 's', kExponentDigits = 'x';

// The state after `c`, or 0 when no number goes on so.
char NextInNumber(char state, char c) {
  const bool is_digit = absl::ascii_isdigit(c);
  switch (state) {
    case kMinus:
      return c == '0' ? kZero : is_digit ? kDigits : 0;
    case kZero:
    case kDigits:
      if (is_digit) return state == kDigits ? kDigits : 0;
      return c == '.' ? kPoint : c == 'e' || c == 'E' ? kExponent : 0;
    case kPoint:
      return is_digit ? kFraction : 0;
    case kFraction:
      return is_digit ? kFraction : c == 'e' || c == 'E' ? kExponent : 0;
    case kExponent:
      if (c == '+' || c == '-') return kSign;
      return is_digit ? kExponentDigits : 0;
    default:
      return is_digit ? kExponentDigits : 0;
  }
}

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

JsonScanner::Progress JsonScanner::Read(char c) {
  value_began_ = value_ended_ = ended_before_ = false;
  if (state_ == State::kString) return ReadString(c);
  if (state_ == State::kNumber) return ReadNumber(c);
  if (state_ == State::kWord) {
    if (c != *word_) return Malformed();
    return *++word_ == '\0' ? EndValue() : Progress::kMore;
  }
  if (state_ == State::kStart) {
    if (c != '{') return Malformed();
    open_.push_back(c);
    state_ = State::kFirstKey;
    return Progress::kMore;
  }
  if (IsBlank(c)) return Progress::kMore;
  switch (state_) {
    case State::kFirstKey:
    case State::kKey:
      if (c == '}' && state_ == State::kFirstKey) return AfterValue(c);
      if (c != '"') return Malformed();
      is_key_ = true;
      if (depth() == 1) key_.clear();
      state_ = State::kString;
      return Progress::kMore;
    case State::kColon:
      if (c != ':') return Malformed();
      state_ = State::kValue;
      return Progress::kMore;
    case State::kFirstItem:
      if (c == ']') return AfterValue(c);
      return BeginValue(c);
    case State::kValue:
      return BeginValue(c);
    default:
      return AfterValue(c);
  }
}

JsonScanner::Progress JsonScanner::ReadString(char c) {
  const bool is_outer_key = is_key_ && depth() == 1;
  if (escape_ > 1) {
    if (!absl::ascii_isxdigit(c)) return Malformed();
    if (--escape_ == 1) escape_ = 0;
  } else if (escape_ == 1) {
    if (std::strchr("\"\\/bfnrtu", c) == nullptr || c == '\0') return Malformed();
    escape_ = c == 'u' ? 5 : 0;
  } else if (c == '\\') {
    escape_ = 1;
  } else if (c == '"') {
    if (!is_key_) return EndValue();
    is_key_ = false;
    state_ = State::kColon;
    return Progress::kMore;
  } else if (static_cast<unsigned char>(c) < 0x20) {
    return Malformed();
  }
  if (is_outer_key) key_.push_back(c);
  return Progress::kMore;
}

JsonScanner::Progress JsonScanner::ReadNumber(char c) {
  const char next = NextInNumber(number_, c);
  if (next != 0) {
    number_ = next;
    return Progress::kMore;
  }
  if (number_ != kZero && number_ != kDigits && number_ != kFraction && number_ != kExponentDigits)
    return Malformed();
  ended_before_ = depth() == 1;
  state_ = State::kAfterValue;
  return IsBlank(c) ? Progress::kMore : AfterValue(c);
}

JsonScanner::Progress JsonScanner::BeginValue(char c) {
  value_began_ = depth() == 1;
  if (c == '{' || c == '[') {
    if (depth() >= kDepthMax) return Malformed();
    open_.push_back(c);
    state_ = c == '{' ? State::kFirstKey : State::kFirstItem;
    return Progress::kMore;
  }
  if (c == '"') {
    state_ = State::kString;
    return Progress::kMore;
  }
  if (c == '-' || absl::ascii_isdigit(c)) {
    number_ = c == '-' ? kMinus : c == '0' ? kZero : kDigits;
    state_ = State::kNumber;
    return Progress::kMore;
  }
  for (const char* word : {"true", "false", "null"}) {
    if (c != word[0]) continue;
    word_ = word + 1;
    state_ = State::kWord;
    return Progress::kMore;
  }
  return Malformed();
}

JsonScanner::Progress JsonScanner::EndValue() {
  value_ended_ = depth() == 1;
  state_ = State::kAfterValue;
  return Progress::kMore;
}

JsonScanner::Progress JsonScanner::AfterValue(char c) {
  const bool in_object = open_.back() == '{';
  if (c == ',') {
    state_ = in_object ? State::kKey : State::kValue;
    return Progress::kMore;
  }
  if (c != (in_object ? '}' : ']')) return Malformed();
  open_.pop_back();
  if (open_.empty()) return Progress::kDone;
  return EndValue();
}

}  // namespace oneai::serving
