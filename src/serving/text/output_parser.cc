#include "serving/text/output_parser.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "serving/text/tool_call_reader.h"

namespace oneai::serving {
namespace {

constexpr absl::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";
constexpr absl::string_view kCallBegin = "<tool_call>";
// White space that is held back in case a tag follows.
constexpr size_t kBlanksMax = 4096;

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

OutputFormat ChooseOutputFormat(absl::string_view chat_template, absl::string_view prompt,
                                bool has_tools) {
  OutputFormat format;
  if (has_tools && absl::StrContains(chat_template, "<function=")) {
    format.tool_calls = ToolCallFormat::kXml;
  } else if (has_tools && absl::StrContains(chat_template, kCallBegin)) {
    format.tool_calls = ToolCallFormat::kHermes;
  }
  const absl::string_view end = absl::StripTrailingAsciiWhitespace(prompt);
  if (absl::EndsWith(end, kThinkBegin)) {
    format.reasoning = ReasoningFormat::kStartsInside;
  } else if (!absl::EndsWith(end, kThinkEnd) && absl::StrContains(chat_template, kThinkEnd)) {
    format.reasoning = ReasoningFormat::kThinkTags;
  }
  return format;
}

// Every byte is read once, in one of four places, and what it makes certain is appended to `out`.
// A malformed call is put back and read again as content.
class OutputParser::State {
 public:
  State(OutputFormat format, ToolTypes tools)
      : format_(format),
        tools_(std::move(tools)),
        place_(format.reasoning == ReasoningFormat::kNone ? Place::kContent : Place::kStart) {}

  void Feed(absl::string_view text, std::vector<OutputDelta>& out) {
    std::string input(text);
    for (size_t i = 0; i < input.size();) {
      const char c = input[i++];
      const std::string put_back = Read(c, out);
      if (!put_back.empty()) {
        input = absl::StrCat(put_back, absl::string_view(input).substr(i));
        i = 0;
      }
    }
  }

  void Finish(std::vector<OutputDelta>& out) {
    switch (place_) {
      case Place::kStart:
        Emit(OutputDelta::Kind::kContent, absl::StrCat(blanks_, tag_), out);
        break;
      case Place::kReasoning:
        Emit(OutputDelta::Kind::kReasoning, absl::StrCat(blanks_, tag_), out);
        break;
      case Place::kContent:
        if (!tag_.empty() || num_calls_ == 0 || !after_call_)
          Emit(OutputDelta::Kind::kContent, absl::StrCat(blanks_, tag_), out);
        break;
      case Place::kCall:
        FinishCall(out);
        break;
    }
    blanks_.clear();
    tag_.clear();
  }

  int32_t num_calls() const { return num_calls_; }

 private:
  enum class Place { kStart, kReasoning, kContent, kCall };

  // Returns what is to be read again, c included.
  std::string Read(char c, std::vector<OutputDelta>& out) {
    switch (place_) {
      case Place::kStart:
        return ReadStart(c);
      case Place::kReasoning:
        return ReadReasoning(c, out);
      case Place::kContent:
        return ReadContent(c, out);
      case Place::kCall:
        return ReadCall(c, out);
    }
    return "";
  }

  static void Emit(OutputDelta::Kind kind, absl::string_view text, std::vector<OutputDelta>& out,
                   int32_t index = 0) {
    if (text.empty()) return;
    if (out.empty() || out.back().kind != kind || out.back().index != index)
      out.push_back({.kind = kind, .text = "", .index = index, .name = ""});
    out.back().text.append(text.data(), text.size());
  }

  // Blanks, then <think>, or not.
  std::string ReadStart(char c) {
    if (tag_.empty() && IsBlank(c) && blanks_.size() < kBlanksMax) {
      blanks_.push_back(c);
      return "";
    }
    tag_.push_back(c);
    if (tag_ == kThinkBegin) {
      tag_.clear();
      blanks_.clear();
      place_ = Place::kReasoning;
      skip_breaks_ = true;
      return "";
    }
    if (absl::StartsWith(kThinkBegin, tag_)) return "";
    const bool inside = format_.reasoning == ReasoningFormat::kStartsInside;
    place_ = inside ? Place::kReasoning : Place::kContent;
    skip_breaks_ = inside;
    return absl::StrCat(std::exchange(blanks_, ""), std::exchange(tag_, ""));
  }

  std::string ReadReasoning(char c, std::vector<OutputDelta>& out) {
    if (skip_breaks_ && c == '\n') return "";
    skip_breaks_ = false;
    tag_.push_back(c);
    if (tag_ == kThinkEnd) {
      tag_.clear();
      blanks_.clear();
      place_ = Place::kContent;
      breaks_left_ = format_.think_breaks_max;
      return "";
    }
    if (absl::StartsWith(kThinkEnd, tag_)) return "";
    if (tag_.size() > 1) return MismatchedTag(OutputDelta::Kind::kReasoning, out);
    tag_.clear();
    ShowOrHold(c, c == '\n', OutputDelta::Kind::kReasoning, out);
    return "";
  }

  std::string ReadContent(char c, std::vector<OutputDelta>& out) {
    if (breaks_left_ > 0 && c == '\n') {
      --breaks_left_;
      return "";
    }
    breaks_left_ = 0;
    if (format_.tool_calls == ToolCallFormat::kNone) {
      Emit(OutputDelta::Kind::kContent, absl::string_view(&c, 1), out);
      return "";
    }
    tag_.push_back(c);
    if (tag_ == kCallBegin) {
      BeginCall();
      return "";
    }
    if (absl::StartsWith(kCallBegin, tag_)) return "";
    after_call_ = after_call_ && IsBlank(c);
    if (tag_.size() > 1) return MismatchedTag(OutputDelta::Kind::kContent, out);
    tag_.clear();
    ShowOrHold(c, IsBlank(c), OutputDelta::Kind::kContent, out);
    return "";
  }

  // What began like a tag is text; only its last byte may begin another one.
  std::string MismatchedTag(OutputDelta::Kind kind, std::vector<OutputDelta>& out) {
    const std::string last(1, tag_.back());
    tag_.pop_back();
    Emit(kind, std::exchange(blanks_, ""), out);
    Emit(kind, std::exchange(tag_, ""), out);
    after_call_ = false;
    return last;
  }

  void ShowOrHold(char c, bool hold, OutputDelta::Kind kind, std::vector<OutputDelta>& out) {
    if (hold && blanks_.size() < kBlanksMax) {
      blanks_.push_back(c);
      return;
    }
    Emit(kind, std::exchange(blanks_, ""), out);
    Emit(kind, absl::string_view(&c, 1), out);
  }

  void BeginCall() {
    tag_.clear();
    place_ = Place::kCall;
    is_shown_ = false;
    raw_.clear();
    reader_ = format_.tool_calls == ToolCallFormat::kXml ? NewXmlReader(tools_) : NewHermesReader();
  }

  std::string ReadCall(char c, std::vector<OutputDelta>& out) {
    raw_.push_back(c);
    const ToolCallReader::Progress progress = reader_->Read(c);
    const bool too_long = !is_shown_ && !reader_->has_name() && raw_.size() > kToolCallBytesMax;
    if (progress == ToolCallReader::Progress::kMalformed || too_long) {
      // The next call in a row may begin without the end of this one.
      if (reader_->is_whole() && absl::EndsWith(raw_, "<t")) {
        ShowCall(out);
        EndCall();
        return "<t";
      }
      place_ = Place::kContent;
      std::string again = std::exchange(raw_, "");
      if (!is_shown_) {
        Emit(OutputDelta::Kind::kContent, std::exchange(blanks_, ""), out);
        Emit(OutputDelta::Kind::kContent, kCallBegin, out);
      }
      after_call_ = false;
      return again;
    }
    if (progress == ToolCallReader::Progress::kDone) {
      ShowCall(out);
      EndCall();
    } else if (is_shown_ || (reader_->has_name() && raw_.size() > format_.hold_bytes)) {
      ShowCall(out);
    }
    return "";
  }

  void ShowCall(std::vector<OutputDelta>& out) {
    if (!is_shown_) {
      out.push_back({.kind = OutputDelta::Kind::kToolCallStart,
                     .text = "",
                     .index = num_calls_,
                     .name = reader_->name()});
      ++num_calls_;
      is_shown_ = true;
      blanks_.clear();
      raw_.clear();
    }
    const std::string arguments = reader_->TakeArguments();
    if (!arguments.empty()) raw_.clear();
    Emit(OutputDelta::Kind::kToolCallArguments, arguments, out, num_calls_ - 1);
  }

  void EndCall() {
    place_ = Place::kContent;
    after_call_ = true;
    reader_.reset();
    raw_.clear();
  }

  // The answer ended in a call: it is one if its name is known.
  void FinishCall(std::vector<OutputDelta>& out) {
    if (is_shown_ || reader_->has_name()) {
      ShowCall(out);
      EndCall();
      return;
    }
    Emit(OutputDelta::Kind::kContent, std::exchange(blanks_, ""), out);
    Emit(OutputDelta::Kind::kContent, absl::StrCat(kCallBegin, raw_), out);
    place_ = Place::kContent;
  }

  const OutputFormat format_;
  const ToolTypes tools_;
  Place place_;
  std::string blanks_;        // white space that is shown only if no tag follows
  std::string tag_;           // what may be the beginning of a tag
  bool skip_breaks_ = false;  // line breaks where reasoning begins
  size_t breaks_left_ = 0;    // and so many where it has ended
  bool after_call_ = false;   // only blanks since a call
  std::unique_ptr<ToolCallReader> reader_;
  std::string raw_;        // of the call, since it was shown last
  bool is_shown_ = false;  // the call's start was given out
  int32_t num_calls_ = 0;
};

OutputParser::OutputParser(OutputFormat format, ToolTypes tools)
    : state_(std::make_unique<State>(format, std::move(tools))) {}
OutputParser::~OutputParser() = default;
OutputParser::OutputParser(OutputParser&&) noexcept = default;
OutputParser& OutputParser::operator=(OutputParser&&) noexcept = default;

std::vector<OutputDelta> OutputParser::Feed(absl::string_view text) {
  std::vector<OutputDelta> out;
  state_->Feed(text, out);
  return out;
}

std::vector<OutputDelta> OutputParser::Finish() {
  std::vector<OutputDelta> out;
  state_->Finish(out);
  return out;
}

int32_t OutputParser::num_tool_calls() const { return state_->num_calls(); }

}  // namespace oneai::serving
