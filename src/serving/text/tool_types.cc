#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "serving/text/json_quote.h"
#include "serving/text/output_parser.h"

namespace oneai::serving {
namespace {

using models::Json;

// Types that a schema names, also through anyOf and the values of enum.
std::vector<std::string> TypesOf(const Json& schema, int nesting) {
  std::vector<std::string> types;
  if (!schema.is_object() || nesting > 4) return types;
  const auto type = schema.find("type");
  if (type != schema.end()) {
    const Json list = type->is_array() ? *type : Json::array({*type});
    for (const Json& t : list) {
      if (t.is_string()) types.push_back(t.get<std::string>());
    }
  }
  for (const char* key : {"anyOf", "oneOf"}) {
    const auto branches = schema.find(key);
    if (branches == schema.end() || !branches->is_array()) continue;
    for (const Json& branch : *branches) {
      for (std::string& t : TypesOf(branch, nesting + 1)) types.push_back(std::move(t));
    }
  }
  return types;
}

bool IsOfType(const Json& value, absl::string_view type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "object") return value.is_object();
  return type == "array" && value.is_array();
}

}  // namespace

std::string JsonEscaped(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  return out;
}

std::string JsonQuoted(absl::string_view text) {
  return absl::StrCat("\"", JsonEscaped(text), "\"");
}

absl::StatusOr<ToolTypes> ToolTypes::From(const Json& tools) {
  ToolTypes out;
  if (tools.is_null()) return out;
  if (!tools.is_array()) return absl::InvalidArgumentError("tools must be a list");
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json& tool = tools[i];
    const Json* function =
        tool.is_object() && tool.contains("function") ? &tool["function"] : &tool;
    if (!function->is_object() || !function->contains("name") || !(*function)["name"].is_string())
      return absl::InvalidArgumentError(
          absl::StrCat("tools[", i, "] must have a function with a name"));
    auto& parameters = out.types_[(*function)["name"].get<std::string>()];
    if (!function->contains("parameters") || !(*function)["parameters"].is_object()) continue;
    const Json& schema = (*function)["parameters"];
    if (!schema.contains("properties") || !schema["properties"].is_object()) continue;
    for (const auto& [name, property] : schema["properties"].items())
      parameters[name] = TypesOf(property, 0);
  }
  return out;
}

const std::vector<std::string>& ToolTypes::Types(absl::string_view tool,
                                                 absl::string_view parameter) const {
  static const std::vector<std::string>& none = *new std::vector<std::string>;
  const auto found = types_.find(tool);
  if (found == types_.end()) return none;
  const auto types = found->second.find(parameter);
  return types == found->second.end() ? none : types->second;
}

bool ToolTypes::Has(absl::string_view tool) const { return types_.find(tool) != types_.end(); }

bool ToolTypes::IsString(absl::string_view tool, absl::string_view parameter) const {
  const std::vector<std::string>& types = Types(tool, parameter);
  return std::all_of(types.begin(), types.end(),
                     [](const std::string& t) { return t == "string"; });
}

std::string ToolTypes::ToJson(absl::string_view tool, absl::string_view parameter,
                              absl::string_view text) const {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  std::string spelled(trimmed);
  // Models that were raised on Python write its words.
  if (spelled == "True") spelled = "true";
  if (spelled == "False") spelled = "false";
  if (spelled == "None") spelled = "null";
  const Json value = Json::parse(spelled, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) {
    for (const std::string& type : Types(tool, parameter)) {
      if (IsOfType(value, type)) return spelled;
    }
  }
  return JsonQuoted(text);
}

}  // namespace oneai::serving
