#include "serving/replica/tool_choice.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

// {"name": ..., "arguments": ...} of one tool.
OrderedJson CallSchema(const std::string& name, const OrderedJson& parameters) {
  return {{"type", "object"},
          {"properties", {{"name", {{"const", name}}}, {"arguments", parameters}}},
          {"required", {"name", "arguments"}},
          {"additionalProperties", false}};
}

}  // namespace

absl::StatusOr<ToolChoice> ReadToolChoice(const std::string& tools_json,
                                          const std::string& tool_choice) {
  const bool must_call = !tool_choice.empty() && tool_choice != "auto" && tool_choice != "none";
  OrderedJson tools = OrderedJson::array();
  if (!tools_json.empty()) {
    ASSIGN_OR_RETURN(tools, models::ParseOrderedJson(tools_json, "tools"));
    if (!tools.is_array()) return absl::InvalidArgumentError("tools must be a JSON array");
  }
  if (tools.empty()) {
    if (!must_call) return ToolChoice{};
    return absl::InvalidArgumentError(
        absl::StrCat("tool_choice is \"", tool_choice, "\" but the request offers no tools"));
  }
  std::vector<std::string> names;
  OrderedJson calls = OrderedJson::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const OrderedJson function =
        tools[i].is_object() ? tools[i].value("function", OrderedJson()) : OrderedJson();
    const OrderedJson name =
        function.is_object() ? function.value("name", OrderedJson()) : OrderedJson();
    if (!name.is_string() || name.get_ref<const std::string&>().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tools[", i, "] is not of the form {\"type\":\"function\",\"function\":{\"name\":...}}"));
    }
    names.push_back(name.get<std::string>());
    if (tool_choice != "required" && tool_choice != names.back()) continue;
    calls.push_back(
        CallSchema(names.back(), function.value("parameters", OrderedJson{{"type", "object"}})));
  }
  ToolChoice choice;
  choice.offered = tool_choice != "none";
  if (!must_call) return choice;
  if (calls.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tool_choice names \"", tool_choice,
                     "\", which is none of the tools: ", absl::StrJoin(names, ", ")));
  }
  const OrderedJson schema = calls.size() == 1 ? calls[0] : OrderedJson{{"anyOf", calls}};
  choice.call_schema = schema.dump();
  return choice;
}

}  // namespace oneai::serving
