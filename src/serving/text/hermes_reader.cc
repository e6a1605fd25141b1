#include <utility>

#include "nlohmann/json.hpp"
#include "serving/text/json_scanner.h"
#include "serving/text/tool_call_reader.h"

namespace oneai::serving {
namespace {

// {"name": "f", "arguments": {...}}, keys in any order. The arguments are taken as they are
// written; a string that holds them is unpacked, and none or null are {}.
class HermesReader : public ToolCallReader {
 public:
  Progress Read(char c) override {
    if (is_closed_) return end_tag_.Read(c);
    if (!has_begun_) {
      if (c == ' ' || c == '\n' || c == '\t' || c == '\r') return Progress::kMore;
      has_begun_ = true;
    }
    const JsonScanner::Progress progress = scanner_.Read(c);
    if (progress == JsonScanner::Progress::kMalformed) return Progress::kMalformed;
    if (scanner_.ended_before() && !EndMember()) return Progress::kMalformed;
    if (scanner_.value_began() && !BeginMember(c)) return Progress::kMalformed;
    if (streams_) {
      arguments_.push_back(c);
    } else if (member_ != Member::kNone && !scanner_.ended_before()) {
      value_.push_back(c);
    }
    if (value_.size() > kToolCallBytesMax) return Progress::kMalformed;
    if (scanner_.value_ended() && !EndMember()) return Progress::kMalformed;
    if (progress != JsonScanner::Progress::kDone) return Progress::kMore;
    is_closed_ = true;
    if (!name_known_) return Progress::kMalformed;
    if (!arguments_known_) arguments_ = "{}";
    return Progress::kMore;
  }

  bool has_name() const override {
    return name_known_ && (streams_ || arguments_known_ || is_closed_);
  }
  const std::string& name() const override { return name_; }
  std::string TakeArguments() override { return std::exchange(arguments_, ""); }
  bool is_whole() const override { return is_closed_; }

 private:
  enum class Member { kNone, kName, kArguments, kOther };

  bool BeginMember(char c) {
    const std::string& key = scanner_.key();
    member_ = Member::kOther;
    if (key == "name") member_ = Member::kName;
    if (key == "arguments" || key == "parameters") member_ = Member::kArguments;
    // A second one would contradict what was said already.
    if (member_ == Member::kName && (name_known_ || c != '"')) return false;
    if (member_ != Member::kArguments) return true;
    if (arguments_known_ || streams_) return false;
    streams_ = c == '{';
    return streams_ || c == '"' || c == 'n';
  }

  bool EndMember() {
    const std::string text = std::exchange(value_, "");
    const Member member = std::exchange(member_, Member::kNone);
    if (member == Member::kName) {
      const nlohmann::json name = nlohmann::json::parse(text, nullptr, false);
      if (!name.is_string() || name.get_ref<const std::string&>().empty()) return false;
      name_ = name.get<std::string>();
      name_known_ = true;
    }
    if (member != Member::kArguments) return true;
    arguments_known_ = true;
    if (std::exchange(streams_, false)) return true;
    const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
    if (value.is_null()) {
      arguments_ = "{}";
      return true;
    }
    if (!value.is_string()) return false;
    arguments_ = value.get<std::string>();
    return nlohmann::json::parse(arguments_, nullptr, false).is_object();
  }

  JsonScanner scanner_;
  TagMatcher end_tag_{"</tool_call>"};
  bool has_begun_ = false;
  bool is_closed_ = false;
  Member member_ = Member::kNone;
  std::string value_;  // of the current member, when it is not streamed
  std::string name_;
  bool name_known_ = false;
  std::string arguments_;  // not taken yet
  bool arguments_known_ = false;
  bool streams_ = false;  // in the arguments, which are an object
};

}  // namespace

std::unique_ptr<ToolCallReader> NewHermesReader() { return std::make_unique<HermesReader>(); }

}  // namespace oneai::serving
