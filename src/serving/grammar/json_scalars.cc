#include "serving/grammar/json_scalars.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/tokenizer/unicode_text.h"
#include "serving/grammar/json_formats.h"
#include "serving/grammar/regex_parser.h"
#include "serving/grammar/regular_sets.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

constexpr int64_t kUnbounded = Expr::kUnbounded;
constexpr int64_t kCountMax = 1'000'000'000;
constexpr int64_t kMultipleMax = 1000;
constexpr int kDecimalsMax = 9;
constexpr char kContradiction[] = "oneai.schema.contradiction";
// Beyond it integers are no longer exact in float64, which validators compute in.
constexpr int64_t kExactIntegerMax = 999'999'999'999'999;

int64_t NumCharacters(const std::string& text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.size(); i += models::DecodeUtf8(text, i).bytes) ++count;
  return count;
}

// Integers that `m` divides: the remainder of what was read, digit by digit.
ExprId MultiplesOf(int64_t m, ExpressionPool& pool) {
  // Nodes: 0 begin, 1 after '-', 2 after a lone zero, 3 + remainder.
  std::vector<Expr::GraphEdge> edges = {{0, 1, -1, '-', '-'}, {0, 2, -1, '0', '0'}};
  std::vector<bool> is_final = {false, false, true};
  for (int64_t r = 0; r < m; ++r) is_final.push_back(r == 0);
  for (int d = 0; d < 10; ++d) {
    const uint8_t digit = static_cast<uint8_t>('0' + d);
    const auto node = [&](int64_t value) { return static_cast<int32_t>(3 + value % m); };
    if (d > 0) edges.push_back({0, node(d), -1, digit, digit});
    if (d > 0) edges.push_back({1, node(d), -1, digit, digit});
    for (int64_t r = 0; r < m; ++r) edges.push_back({node(r), node(10 * r + d), -1, digit, digit});
  }
  return pool.Graph(std::move(edges), std::move(is_final));
}

// k for 10^-k; -1: something else.
int DecimalsOf(double multiple) {
  for (int k = 1; k <= kDecimalsMax; ++k) {
    if (multiple == std::stod(absl::StrCat("1e-", k))) return k;
  }
  return -1;
}

}  // namespace

absl::Status SchemaError(const std::string& path, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", message));
}

absl::Status Contradiction(const std::string& path, absl::string_view message) {
  absl::Status status = SchemaError(path, message);
  status.SetPayload(kContradiction, absl::Cord());
  return status;
}

bool IsContradiction(const absl::Status& status) {
  return status.GetPayload(kContradiction).has_value();
}

absl::StatusOr<int64_t> SchemaCount(const OrderedJson& s, const char* key, int64_t fallback,
                                    const std::string& path) {
  if (!s.contains(key)) return fallback;
  const OrderedJson& value = s[key];
  const bool is_whole = value.is_number() && value.get<double>() >= 0 &&
                        value.get<double>() <= static_cast<double>(kCountMax) &&
                        value.get<double>() == static_cast<double>(value.get<int64_t>());
  if (!is_whole)
    return SchemaError(path, absl::StrCat(key, " must be a whole number from 0 to ", kCountMax));
  return value.get<int64_t>();
}

std::string JsonScalars::Spell(const std::string& text) {
  const std::string quoted = OrderedJson(text).dump();
  return quoted.substr(1, quoted.size() - 2);
}

absl::StatusOr<ExprId> JsonScalars::Both(ExprId a, ExprId b, const std::string& path) {
  return CombineSets(pool_, a, b, SetOperation::kBoth, limits_, path);
}

absl::StatusOr<ExprId> JsonScalars::Without(ExprId a, ExprId b, const std::string& path) {
  return CombineSets(pool_, a, b, SetOperation::kFirstOnly, limits_, path);
}

absl::StatusOr<bool> JsonScalars::Contains(ExprId set, const std::string& content,
                                           const std::string& path) {
  ASSIGN_OR_RETURN(const ExprId both, Both(pool_.Bytes(content), set, path));
  return pool_.expr(both).kind != Expr::Kind::kNever;
}

absl::StatusOr<ExprId> JsonScalars::Pattern(const OrderedJson& pattern, const std::string& path) {
  if (!pattern.is_string()) return SchemaError(path, "pattern must be a string");
  const RegexOptions options = {.dialect = RegexOptions::Dialect::kEcma,
                                .nesting_max = limits_.source_nesting_max,
                                .place = path + "/pattern: "};
  return ParseRegex(pattern.get<std::string>(), options, pool_,
                    [&](const CharSet& chars) { return json_.CanonicalChar(chars); });
}

absl::StatusOr<ExprId> JsonScalars::Format(const OrderedJson& format, const std::string& path) {
  if (!format.is_string()) return SchemaError(path, "format must be a string");
  const absl::string_view regex = FormatRegex(format.get<std::string>());
  if (regex.empty())
    return SchemaError(path, absl::StrCat("the format ", format.dump(),
                                          " is not supported; supported are ", FormatNames()));
  const RegexOptions options = {.place = path + "/format: "};
  return ParseRegex(regex, options, pool_,
                    [&](const CharSet& chars) { return json_.CanonicalChar(chars); });
}

absl::StatusOr<ExprId> JsonScalars::Excluding(ExprId content, const OrderedJson& excluded,
                                              const std::string& path) {
  if (excluded.contains("pattern")) {
    ASSIGN_OR_RETURN(const ExprId pattern, Pattern(excluded["pattern"], path));
    return Without(content, pattern, path);
  }
  std::vector<ExprId> texts;
  for (const OrderedJson& value : excluded["enum"]) {
    if (value.is_string()) texts.push_back(pool_.Bytes(Spell(value.get<std::string>())));
  }
  if (texts.empty()) return content;
  return Without(content, pool_.Alternate(std::move(texts)), path);
}

absl::StatusOr<ExprId> JsonScalars::StringContent(const OrderedJson& s, const std::string& path) {
  std::vector<const OrderedJson*> parts = {&s};
  if (s.contains("allOf")) {
    for (const OrderedJson& further : s["allOf"]) parts.push_back(&further);
  }
  std::vector<ExprId> sets;
  for (const OrderedJson* part : parts) {
    if (part->contains("pattern")) {
      ASSIGN_OR_RETURN(const ExprId pattern, Pattern((*part)["pattern"], path));
      sets.push_back(pattern);
    }
    if (part->contains("format")) {
      ASSIGN_OR_RETURN(const ExprId format, Format((*part)["format"], path));
      sets.push_back(format);
    }
  }
  if (s.contains("minLength") || s.contains("maxLength") || sets.empty()) {
    ASSIGN_OR_RETURN(const int64_t min, SchemaCount(s, "minLength", 0, path));
    ASSIGN_OR_RETURN(const int64_t max, SchemaCount(s, "maxLength", kUnbounded, path));
    if (max != kUnbounded && max < min)
      return Contradiction(path, "maxLength is less than minLength");
    sets.push_back(pool_.Repeat(json_.CanonicalChar(Complement({})), min, max));
  }
  ExprId content = sets[0];
  for (size_t i = 1; i < sets.size(); ++i) {
    ASSIGN_OR_RETURN(content, Both(content, sets[i], path));
  }
  for (const OrderedJson* part : parts) {
    if (!part->contains("not")) continue;
    ASSIGN_OR_RETURN(content, Excluding(content, (*part)["not"], path + "/not"));
  }
  return content;
}

absl::StatusOr<ExprId> JsonScalars::String(const OrderedJson& s, const std::string& path) {
  const bool has_length = s.contains("minLength") || s.contains("maxLength");
  const bool has_more = s.contains("pattern") || s.contains("format") || s.contains("not");
  if (!has_length && !has_more) return json_.String();
  if (!has_more) {
    ASSIGN_OR_RETURN(const int64_t min, SchemaCount(s, "minLength", 0, path));
    ASSIGN_OR_RETURN(const int64_t max, SchemaCount(s, "maxLength", kUnbounded, path));
    if (max != kUnbounded && max < min)
      return Contradiction(path, "maxLength is less than minLength");
    return json_.StringOfLength(min, max, path + (max == kUnbounded ? "/minLength" : "/maxLength"));
  }
  ASSIGN_OR_RETURN(const ExprId content, StringContent(s, path));
  const char* name = s.contains("pattern") ? "/pattern" : s.contains("format") ? "/format" : "/not";
  return json_.QuotedRule(path + name, content);
}

absl::StatusOr<NumberRange> JsonScalars::Range(const OrderedJson& s, const std::string& path) {
  NumberRange range;
  RETURN_IF_ERROR(AddBound(s, "minimum", "exclusiveMinimum", path, range.low));
  RETURN_IF_ERROR(AddBound(s, "maximum", "exclusiveMaximum", path, range.high));
  return range;
}

absl::StatusOr<ExprId> JsonScalars::Number(bool is_integer, const OrderedJson& s,
                                           const std::string& path) {
  ASSIGN_OR_RETURN(const NumberRange range, Range(s, path));
  ExprId number = -1;
  if (s.contains("multipleOf")) {
    ASSIGN_OR_RETURN(number, Multiples(s, is_integer, range, path));
  } else if (range.low.has_value() || range.high.has_value()) {
    number = is_integer ? IntegerInRange(range, pool_) : DecimalInRange(range, pool_);
  }
  std::vector<ExprId> excluded;
  if (s.contains("not") && s["not"].contains("enum")) {
    for (const OrderedJson& value : s["not"]["enum"]) {
      if (!value.is_number()) continue;
      if (!is_integer)
        return SchemaError(path,
                           "'not' with a number is supported for integers alone, which have "
                           "one spelling; add \"type\": \"integer\"");
      if (value.is_number_integer()) excluded.push_back(pool_.Bytes(value.dump()));
    }
  }
  if (excluded.empty()) return number >= 0 ? number : is_integer ? json_.Integer() : json_.Number();
  if (number < 0) number = IntegerInRange({}, pool_);
  return Without(number, pool_.Alternate(std::move(excluded)), path + "/not");
}

// `range` without bounds means up to the largest integer that validators compute with exactly.
absl::StatusOr<ExprId> JsonScalars::Multiples(const OrderedJson& s, bool is_integer,
                                              const NumberRange& range, const std::string& path) {
  const OrderedJson& value = s["multipleOf"];
  if (!value.is_number() || !(value.get<double>() > 0))
    return SchemaError(path, "multipleOf must be a number above 0");
  const double multiple = value.get<double>();
  if (const int decimals = DecimalsOf(multiple); decimals > 0 && !is_integer) {
    const ExprId digits = pool_.Repeat(pool_.Chars({{'0', '9'}}), 1, decimals);
    const ExprId spelled = pool_.Concat(
        {IntegerInRange({}, pool_), pool_.Optional(pool_.Concat({pool_.Bytes("."), digits}))});
    const ExprId negative = pool_.Concat({pool_.Bytes("-0."), digits});
    return Both(pool_.Alternate({spelled, negative}), DecimalInRange(range, pool_), path);
  } else if (decimals > 0) {
    return range.low.has_value() || range.high.has_value() ? IntegerInRange(range, pool_)
                                                           : json_.Integer();
  }
  if (multiple != std::floor(multiple) || multiple > kMultipleMax) {
    return SchemaError(
        path, absl::StrCat("multipleOf ", value.dump(), " is not supported; whole numbers up to ",
                           kMultipleMax, " and 0.1, 0.01, ... are"));
  }
  NumberRange exact = range;
  if (!exact.low.has_value()) exact.low = BoundOf(OrderedJson(-kExactIntegerMax), false);
  if (!exact.high.has_value()) exact.high = BoundOf(OrderedJson(kExactIntegerMax), false);
  const ExprId integers = IntegerInRange(exact, pool_);
  if (multiple == 1) return integers;
  return Both(integers, MultiplesOf(static_cast<int64_t>(multiple), pool_), path);
}

// `inclusive` and `exclusive` are numbers; in draft 4 the second is a boolean about the first.
absl::Status JsonScalars::AddBound(const OrderedJson& s, const char* inclusive,
                                   const char* exclusive, const std::string& path,
                                   std::optional<NumberBound>& bound) {
  const bool is_flag = s.contains(exclusive) && s[exclusive].is_boolean();
  for (const char* key : {inclusive, exclusive}) {
    if (!s.contains(key) || (key == exclusive && is_flag)) continue;
    if (!s[key].is_number()) return SchemaError(path, absl::StrCat(key, " must be a number"));
  }
  if (s.contains(inclusive)) bound = BoundOf(s[inclusive], is_flag && s[exclusive].get<bool>());
  if (!s.contains(exclusive) || is_flag) return absl::OkStatus();
  const bool tighter = !bound.has_value() ||
                       (inclusive == absl::string_view("minimum") ? s[exclusive] >= s[inclusive]
                                                                  : s[exclusive] <= s[inclusive]);
  if (tighter) bound = BoundOf(s[exclusive], true);
  return absl::OkStatus();
}

absl::StatusOr<bool> JsonScalars::Fits(const OrderedJson& value, const OrderedJson& s,
                                       const std::string& path) {
  if (s.contains("not") && s["not"].contains("enum")) {
    for (const OrderedJson& excluded : s["not"]["enum"]) {
      if (excluded == value) return false;
    }
  }
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    ASSIGN_OR_RETURN(const int64_t min, SchemaCount(s, "minLength", 0, path));
    ASSIGN_OR_RETURN(const int64_t max, SchemaCount(s, "maxLength", kCountMax, path));
    const int64_t length = NumCharacters(text);
    if (length < min || length > max) return false;
    if (!s.contains("pattern") && !s.contains("format") && !s.contains("not")) return true;
    OrderedJson rest = s;
    rest.erase("minLength");
    rest.erase("maxLength");
    ASSIGN_OR_RETURN(const ExprId content, StringContent(rest, path));
    return Contains(content, Spell(text), path);
  }
  if (value.is_number()) {
    const auto holds = [&](const char* key, auto compare) {
      return !s.contains(key) || !s[key].is_number() || compare(value, s[key]);
    };
    using Json = OrderedJson;
    if (!holds("minimum", [](const Json& a, const Json& b) { return a >= b; })) return false;
    if (!holds("maximum", [](const Json& a, const Json& b) { return a <= b; })) return false;
    if (!holds("exclusiveMinimum", [](const Json& a, const Json& b) { return a > b; }))
      return false;
    if (!holds("exclusiveMaximum", [](const Json& a, const Json& b) { return a < b; }))
      return false;
    return holds("multipleOf", [](const Json& a, const Json& b) {
      const double ratio = a.get<double>() / b.get<double>();
      return std::abs(ratio - std::round(ratio)) < 1e-9;
    });
  }
  return true;
}

}  // namespace oneai::serving
