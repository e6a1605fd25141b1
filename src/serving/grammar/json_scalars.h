// File: serving/grammar/json_scalars.h
//
// What a schema asks of strings and numbers, as expressions; keywords that apply together are
// intersected.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"
#include "serving/grammar/expression.h"
#include "serving/grammar/grammar.h"
#include "serving/grammar/json_number_range.h"
#include "serving/grammar/json_text.h"

namespace oneai::serving {

// InvalidArgument "<path>: <message>".
absl::Status SchemaError(const std::string& path, absl::string_view message);
// The same where the schema is understood and allows nothing: of alternatives, others may be left.
absl::Status Contradiction(const std::string& path, absl::string_view message);
bool IsContradiction(const absl::Status& status);

// A count such as minItems; `fallback` when it is not there. 3.0 is an integer to JSON Schema.
absl::StatusOr<int64_t> SchemaCount(const models::OrderedJson& schema, const char* key,
                                    int64_t fallback, const std::string& path);

// Thread-compatible; borrows its arguments, which must outlive it. Errors name the path.
class JsonScalars {
 public:
  JsonScalars(ExpressionPool& pool, JsonText& json, const GrammarLimits& limits)
      : pool_(pool), json_(json), limits_(limits) {}

  // minLength, maxLength, pattern, format, "not": {"enum"} or {"pattern"}, and what
  // HasFurtherTextSets allows in "allOf".
  absl::StatusOr<ExprId> String(const models::OrderedJson& s, const std::string& path);
  // The characters of such a string in canonical spelling, without quotes and calls.
  absl::StatusOr<ExprId> StringContent(const models::OrderedJson& s, const std::string& path);
  // minimum, maximum, exclusive or not, multipleOf, "not": {"enum"}.
  absl::StatusOr<ExprId> Number(bool is_integer, const models::OrderedJson& s,
                                const std::string& path);
  // Whether a value of an enum is left by the keywords beside it. InvalidArgument: one of them
  // cannot be told here.
  absl::StatusOr<bool> Fits(const models::OrderedJson& value, const models::OrderedJson& s,
                            const std::string& path);
  // Whether `content` is one of the texts of `set`.
  absl::StatusOr<bool> Contains(ExprId set, const std::string& content, const std::string& path);
  absl::StatusOr<ExprId> Both(ExprId a, ExprId b, const std::string& path);
  absl::StatusOr<ExprId> Without(ExprId a, ExprId b, const std::string& path);
  // The characters of `text` as a JSON string spells them, without quotes.
  static std::string Spell(const std::string& text);
  // Those that match an ECMA-262 pattern somewhere.
  absl::StatusOr<ExprId> Pattern(const models::OrderedJson& pattern, const std::string& path);

 private:
  absl::StatusOr<ExprId> Format(const models::OrderedJson& format, const std::string& path);
  // `content` less the texts of a "not" with values or a pattern.
  absl::StatusOr<ExprId> Excluding(ExprId content, const models::OrderedJson& excluded,
                                   const std::string& path);
  absl::StatusOr<NumberRange> Range(const models::OrderedJson& s, const std::string& path);
  absl::Status AddBound(const models::OrderedJson& s, const char* inclusive, const char* exclusive,
                        const std::string& path, std::optional<NumberBound>& bound);
  absl::StatusOr<ExprId> Multiples(const models::OrderedJson& s, bool is_integer,
                                   const NumberRange& range, const std::string& path);

  ExpressionPool& pool_;
  JsonText& json_;
  const GrammarLimits& limits_;
};

}  // namespace oneai::serving
