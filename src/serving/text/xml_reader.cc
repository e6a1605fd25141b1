#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "serving/text/json_quote.h"
#include "serving/text/tool_call_reader.h"

namespace oneai::serving {
namespace {

constexpr size_t kNameBytesMax = 256;
constexpr size_t kValueBytesMax = 1 << 20;  // of a value that is not a string
constexpr absl::string_view kValueEnd = "</parameter>";

// <function=NAME> (<parameter=KEY> VALUE </parameter>)* </function> </tool_call>. One line break at
// each end of a value belongs to the form. Values of strings are given out as they come, others
// when they are complete.
class XmlReader : public ToolCallReader {
 public:
  explicit XmlReader(const ToolTypes& types) : types_(types) {}

  Progress Read(char c) override {
    switch (state_) {
      case State::kFunction:
        return ReadTag(c, "<function=", State::kName);
      case State::kName:
        return ReadName(c, name_, State::kMembers);
      case State::kMembers:
        return ReadMember(c);
      case State::kKey:
        return ReadKey(c);
      case State::kValue:
        return ReadValue(c);
      case State::kEnd:
        return end_tag_.Read(c);
    }
    return Progress::kMalformed;
  }

  bool has_name() const override { return state_ != State::kFunction && state_ != State::kName; }
  const std::string& name() const override { return name_; }
  bool is_whole() const override { return state_ == State::kEnd; }

  std::string TakeArguments() override {
    if (state_ == State::kValue && is_string_) {
      // All but what may be the value's end.
      const size_t num_certain = value_.size() - HeldLength();
      absl::StrAppend(&arguments_, JsonEscaped(absl::string_view(value_).substr(0, num_certain)));
      value_.erase(0, num_certain);
    }
    return std::exchange(arguments_, "");
  }

 private:
  enum class State { kFunction, kName, kMembers, kKey, kValue, kEnd };

  // Blanks, then `tag`.
  Progress ReadTag(char c, absl::string_view tag, State next) {
    if (tag_.empty() && (c == ' ' || c == '\n' || c == '\t' || c == '\r')) return Progress::kMore;
    tag_.push_back(c);
    if (!absl::StartsWith(tag, tag_)) return Progress::kMalformed;
    if (tag_.size() == tag.size()) {
      tag_.clear();
      state_ = next;
    }
    return Progress::kMore;
  }

  Progress ReadName(char c, std::string& name, State next) {
    if (c == '>') {
      if (name.empty()) return Progress::kMalformed;
      state_ = next;
      if (next == State::kMembers) arguments_ = "{";
      return Progress::kMore;
    }
    if (c == '<' || c == '\n' || name.size() >= kNameBytesMax) return Progress::kMalformed;
    name.push_back(c);
    return Progress::kMore;
  }

  Progress ReadMember(char c) {
    const bool is_end = tag_.size() > 1 ? tag_[1] == '/' : tag_.size() == 1 && c == '/';
    if (!is_end) {
      const Progress progress = ReadTag(c, "<parameter=", State::kKey);
      key_.clear();
      return progress;
    }
    const Progress progress = ReadTag(c, "</function>", State::kEnd);
    if (state_ == State::kEnd) absl::StrAppend(&arguments_, "}");
    return progress;
  }

  Progress ReadKey(char c) {
    const Progress progress = ReadName(c, key_, State::kValue);
    if (state_ != State::kValue) return progress;
    if (!keys_.insert(key_).second) return Progress::kMalformed;
    absl::StrAppend(&arguments_, keys_.size() > 1 ? ", " : "", JsonQuoted(key_), ": ");
    is_string_ = types_.IsString(name_, key_);
    if (is_string_) absl::StrAppend(&arguments_, "\"");
    value_.clear();
    is_value_start_ = true;
    return progress;
  }

  Progress ReadValue(char c) {
    if (std::exchange(is_value_start_, false) && c == '\n') return Progress::kMore;
    value_.push_back(c);
    if (c != '>' || !absl::EndsWith(value_, kValueEnd))
      return value_.size() > kValueBytesMax ? Progress::kMalformed : Progress::kMore;
    value_.resize(value_.size() - kValueEnd.size());
    if (absl::EndsWith(value_, "\n")) value_.pop_back();
    if (is_string_) {
      absl::StrAppend(&arguments_, JsonEscaped(value_), "\"");
    } else {
      absl::StrAppend(&arguments_, types_.ToJson(name_, key_, value_));
    }
    value_.clear();
    state_ = State::kMembers;
    return Progress::kMore;
  }

  // The longest end of the value that may begin "\n</parameter>" or "</parameter>".
  size_t HeldLength() const {
    static constexpr absl::string_view kWithBreak = "\n</parameter>";
    for (size_t n = std::min(value_.size(), kWithBreak.size()); n > 0; --n) {
      const absl::string_view tail = absl::string_view(value_).substr(value_.size() - n);
      if (absl::StartsWith(kWithBreak, tail) || absl::StartsWith(kValueEnd, tail)) return n;
    }
    return 0;
  }

  const ToolTypes& types_;
  TagMatcher end_tag_{"</tool_call>"};
  State state_ = State::kFunction;
  std::string tag_;  // what was read of a tag
  std::string name_, key_;
  std::set<std::string> keys_;
  std::string value_;  // not given out yet
  bool is_string_ = false;
  bool is_value_start_ = false;
  std::string arguments_;  // not taken yet
};

}  // namespace

std::unique_ptr<ToolCallReader> NewXmlReader(const ToolTypes& types) {
  return std::make_unique<XmlReader>(types);
}

}  // namespace oneai::serving
