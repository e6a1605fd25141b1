// File: serving/text/tool_call_reader.h
//
// Reads the body of one tool call, what stands between <tool_call> and </tool_call>, byte by byte.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serving/text/output_parser.h"

namespace oneai::serving {

// Thread-compatible.
class ToolCallReader {
 public:
  enum class Progress { kMore, kDone, kMalformed };
  virtual ~ToolCallReader() = default;

  // kDone: the call is complete, its closing tag included. kMalformed: this byte fits no call.
  virtual Progress Read(char c) = 0;
  // The function's name, once it is known and its arguments have begun.
  virtual bool has_name() const = 0;
  virtual const std::string& name() const = 0;
  // The text of the arguments that is certain and was not taken yet.
  virtual std::string TakeArguments() = 0;
  // Only the closing tag is missing.
  virtual bool is_whole() const = 0;
};

std::unique_ptr<ToolCallReader> NewHermesReader();
// `types` must outlive the reader.
std::unique_ptr<ToolCallReader> NewXmlReader(const ToolTypes& types);

// Matches blanks and then `tag`, byte by byte.
class TagMatcher {
 public:
  explicit TagMatcher(absl::string_view tag) : tag_(tag) {}
  ToolCallReader::Progress Read(char c) {
    if (at_ == 0 && (c == ' ' || c == '\n' || c == '\t' || c == '\r'))
      return ToolCallReader::Progress::kMore;
    if (c != tag_[at_]) return ToolCallReader::Progress::kMalformed;
    return ++at_ == tag_.size() ? ToolCallReader::Progress::kDone : ToolCallReader::Progress::kMore;
  }

 private:
  absl::string_view tag_;
  size_t at_ = 0;
};

}  // namespace oneai::serving
