// File: serving/gateway/openai_body.h
//
// Reads the JSON body of an OpenAI call field by field: each is taken once, and what nobody took is
// refused by name, with the nearest known one.
#pragma once

#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace oneai::serving {

// The body as an object, its nesting bounded. InvalidArgument.
absl::StatusOr<nlohmann::ordered_json> ParseOpenAiBody(absl::string_view body);

// InvalidArgument about one field, which ParameterOf (openai_request.h) gives back.
absl::Status InvalidField(absl::string_view field, absl::string_view problem);

// Remembers the first problem. Borrows the body.
class BodyReader {
 public:
  using Json = nlohmann::ordered_json;
  explicit BodyReader(const Json& body) : body_(body) {}

  // The field, unless it is absent or null, which mean the same in this API.
  const Json* Take(const std::string& field);
  void Fail(absl::string_view field, absl::string_view problem) {
    status_.Update(InvalidField(field, problem));
  }
  template <typename Set>
  void Number(const char* field, double min, double max, Set set) {
    const Json* value = Take(field);
    if (value == nullptr) return;
    if (!value->is_number()) return Fail(field, "must be a number");
    const double number = value->get<double>();
    if (!(number >= min && number <= max)) {
      return Fail(field, absl::StrCat("must be between ", min, " and ", max));
    }
    set(number);
  }
  template <typename Set>
  void Integer(const char* field, int64_t min, int64_t max, Set set) {
    const Json* value = Take(field);
    if (value == nullptr) return;
    const std::optional<int64_t> number = IntegerOf(*value);
    if (!value->is_number_integer()) return Fail(field, "must be an integer");
    if (!number.has_value() || *number < min || *number > max) {
      return Fail(field, absl::StrCat("must be between ", min, " and ", max));
    }
    set(*number);
  }
  bool Boolean(const char* field);
  std::string Text(const char* field);
  // A feature that is not there: only values that ask for nothing are accepted.
  void Unsupported(const char* field, const std::set<Json>& harmless);
  // Fields that do not change the answer.
  void Ignore(std::initializer_list<const char*> fields) {
    for (const char* field : fields) taken_.insert(field);
  }
  absl::Status Finish() const;

 private:
  // nullopt: not an integer, or above int64.
  static std::optional<int64_t> IntegerOf(const Json& value);

  const Json& body_;
  std::set<std::string> taken_;
  absl::Status status_;
};

// `json` as text; ill-formed UTF-8 becomes U+FFFD.
std::string JsonText(const nlohmann::ordered_json& json);

}  // namespace oneai::serving
