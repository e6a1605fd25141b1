// File: models/chat_template/lexer.h
//
// Cuts a template into text and tokens, and settles white space: `-` next to a delimiter strips all
// of it; trim_blocks drops one newline after a block; lstrip_blocks drops the indentation before
// one. Source: Jinja2 3.1, lexer.py.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::models::jinja {

struct Token {
  enum class Kind {
    kText,
    kBlockBegin,
    kBlockEnd,
    kPrintBegin,
    kPrintEnd,
    kName,
    kString,
    kInt,
    kFloat,
    kOp,
    kEnd
  };
  Kind kind;
  std::string text;  // of kString: unescaped
  int line;
};

// The last token is kEnd. InvalidArgument with the line for an unclosed delimiter or a bad
// character.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source);

}  // namespace oneai::models::jinja
