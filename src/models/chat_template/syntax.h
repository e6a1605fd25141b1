// File: models/chat_template/syntax.h
//
// The syntax tree of a template: statements that print or bind, expressions that have values.
// Source: Jinja2 3.1, "Template Designer Documentation"; precedence as in its parser.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/chat_template/value.h"

namespace oneai::models::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
  std::string keyword;  // "" for a positional one
  ExprPtr value;
};

// Operands are in `operands`, in source order, unless said otherwise.
struct Expr {
  enum class Kind {
    kConstant,     // constant
    kName,         // text
    kList,         // items
    kDict,         // key, value, key, value, ...
    kAttribute,    // operand . text
    kItem,         // operand [ operand ]
    kSlice,        // operand [ a : b : c ], absent parts null
    kCall,         // operand ( arguments )
    kFilter,       // operand | text ( arguments )
    kTest,         // operand is text ( arguments )
    kNot,          //
    kNegate,       //
    kPlus,         // unary
    kAnd,          //
    kOr,           //
    kBinary,       // text is one of + - * / // % ** ~
    kCompare,      // text is one of == != < <= > >= in, not in
    kConditional,  // value, condition, else (null: undefined)
  };
  Kind kind;
  int line;
  std::string text;
  Value constant;
  std::vector<ExprPtr> operands;
  std::vector<Argument> arguments;
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: undefined when not given
};

struct Branch {
  ExprPtr condition;  // null: else
  Block body;
};

struct Stmt {
  enum class Kind { kText, kPrint, kIf, kFor, kSet, kSetBlock, kMacro, kBreak, kContinue };
  Kind kind;
  int line;
  std::string text;                  // kText; name of a macro
  std::vector<std::string> targets;  // kFor, kSet, kSetBlock
  std::string attribute;             // kSet: of a namespace, `set target.attribute = ...`
  ExprPtr expr;                      // printed, iterated, or bound
  ExprPtr condition;                 // kFor: the filter after `if`
  Block body, otherwise;
  std::vector<Branch> branches;  // kIf
  std::vector<Parameter> parameters;
};

// Parses a template with trim_blocks and lstrip_blocks. InvalidArgument with the line for a syntax
// error; Unimplemented for a tag, filter or test that is Jinja's but not supported. Nesting is
// bounded by 64.
absl::StatusOr<Block> ParseTemplate(absl::string_view source);

// Whether a filter or test of that name exists, so that a misspelt one fails when the template is
// loaded.
bool IsKnownFilter(absl::string_view name);
bool IsKnownTest(absl::string_view name);

}  // namespace oneai::models::jinja
