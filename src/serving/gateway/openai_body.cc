// File: serving/gateway/openai_body.cc
#include "serving/gateway/openai_body.h"

#include <vector>

#include "absl/strings/cord.h"
#include "base/config/reader.h"
#include "base/status.h"
#include "serving/gateway/openai_request.h"

namespace oneai::serving {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kParameterPayload[] = "oneai/parameter";
// Schemas of tools and answers nest deeper than anything else in a body.
constexpr int kDepthMax = 96;

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view problem) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat("'", field, "' ", problem));
  status.SetPayload(kParameterPayload, absl::Cord(field));
  return status;
}

std::string ParameterOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kParameterPayload);
  return payload.has_value() ? std::string(*payload) : "";
}

// nlohmann recurses while it builds; a bound on depth comes first.
absl::StatusOr<Json> ParseOpenAiBody(absl::string_view body) {
  bool too_deep = false;
  const Json::parser_callback_t watch_depth = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDepthMax;
    return !too_deep;
  };
  Json json = Json::parse(body, watch_depth, /*allow_exceptions=*/false);
  if (too_deep) return absl::InvalidArgumentError("the body is nested too deeply");
  if (json.is_discarded()) {
    return absl::InvalidArgumentError("the body is not valid JSON in UTF-8");
  }
  if (!json.is_object()) return absl::InvalidArgumentError("the body is not a JSON object");
  return json;
}

std::string JsonText(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* BodyReader::Take(const std::string& field) {
  taken_.insert(field);
  const auto it = body_.find(field);
  return it == body_.end() || it->is_null() ? nullptr : &*it;
}

std::optional<int64_t> BodyReader::IntegerOf(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

bool BodyReader::Boolean(const char* field) {
  const Json* value = Take(field);
  if (value == nullptr) return false;
  if (!value->is_boolean()) Fail(field, "must be true or false");
  return value->is_boolean() && value->get<bool>();
}

std::string BodyReader::Text(const char* field) {
  const Json* value = Take(field);
  if (value == nullptr) return "";
  if (!value->is_string()) Fail(field, "must be a string");
  return value->is_string() ? value->get<std::string>() : "";
}

void BodyReader::Unsupported(const char* field, const std::set<Json>& harmless) {
  const Json* value = Take(field);
  if (value != nullptr && !harmless.contains(*value)) Fail(field, "is not supported");
}

absl::Status BodyReader::Finish() const {
  RETURN_IF_ERROR(status_);
  for (const auto& [field, value] : body_.items()) {
    if (taken_.contains(field)) continue;
    const std::optional<std::string> nearest =
        NearestWord(field, std::vector<std::string>(taken_.begin(), taken_.end()));
    return InvalidField(field.substr(0, 64),
                        nearest.has_value()
                            ? absl::StrCat("is not a known field; did you mean '", *nearest, "'?")
                            : "is not a known field");
  }
  return absl::OkStatus();
}

}  // namespace oneai::serving
