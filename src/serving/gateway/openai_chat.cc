// File: serving/gateway/openai_chat.cc
#include "serving/gateway/openai_chat.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

using Json = nlohmann::ordered_json;
using inference::v1::StructuredOutput;

// Text, or a list of parts of type "text".
std::optional<std::string> ContentText(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_null()) return "";
  if (!content.is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : content) {
    const bool is_text = part.is_object() && part.value("type", Json()) == "text" &&
                         part.value("text", Json()).is_string();
    if (!is_text) return std::nullopt;
    text += part["text"].get<std::string>();
  }
  return text;
}

// A member of `message` that is text; absent, null or of another type: empty.
std::string TextMember(const Json& message, const char* key) {
  const Json value = message.value(key, Json());
  return value.is_string() ? value.get<std::string>() : "";
}

// The calls of an assistant's earlier turn, as our own answers carry them.
bool ReadToolCalls(const Json& calls, inference::v1::ChatMessage& wire) {
  if (!calls.is_array()) return false;
  for (const Json& call : calls) {
    if (!call.is_object()) return false;
    const Json function = call.value("function", Json());
    if (!function.is_object() || !function.value("name", Json()).is_string()) return false;
    const Json arguments = function.value("arguments", Json());
    if (!arguments.is_string() && !arguments.is_object() && !arguments.is_null()) return false;
    inference::v1::ToolCall& out = *wire.add_tool_calls();
    out.set_id(TextMember(call, "id"));
    out.set_name(function["name"].get<std::string>());
    if (arguments.is_string()) out.set_arguments_json(arguments.get<std::string>());
    if (arguments.is_object()) out.set_arguments_json(JsonText(arguments));
  }
  return true;
}

void ReadMessage(BodyReader& reader, const Json& message, const std::string& field,
                 inference::v1::ChatMessage& wire) {
  if (!message.is_object() || !message.value("role", Json()).is_string()) {
    return reader.Fail(field, "must be an object with 'role' and 'content'");
  }
  std::string role = message["role"].get<std::string>();
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    return reader.Fail(field + ".role", "must be system, developer, user, assistant or tool");
  }
  for (const char* key : {"function_call", "audio"}) {
    if (!message.value(key, Json()).is_null() && !message[key].empty()) {
      return reader.Fail(absl::StrCat(field, ".", key), "is not supported");
    }
  }
  const std::optional<std::string> text = ContentText(message.value("content", Json()));
  if (!text.has_value()) {
    return reader.Fail(field + ".content", "must be text or a list of parts of type text");
  }
  wire.set_role(role);
  wire.set_content(*text);
  wire.set_name(TextMember(message, "name"));
  wire.set_tool_call_id(TextMember(message, "tool_call_id"));
  wire.set_reasoning(TextMember(message, "reasoning_content"));
  if (wire.reasoning().empty()) wire.set_reasoning(TextMember(message, "reasoning"));
  const Json calls = message.value("tool_calls", Json());
  if (!calls.is_null() && !ReadToolCalls(calls, wire)) {
    reader.Fail(field + ".tool_calls",
                "must be a list of {\"id\", \"type\", \"function\": {\"name\", \"arguments\"}}");
  }
}

// One schema, pattern, list or grammar of vLLM's names; `prefix` is "guided_" or "".
void ReadNamedStructure(BodyReader& reader, BodyReader& outer, const std::string& prefix,
                        StructuredOutput& structured) {
  if (const Json* schema = reader.Take(prefix + "json")) {
    structured.set_json_schema(schema->is_string() ? schema->get<std::string>()
                                                   : JsonText(*schema));
  }
  if (const Json* pattern = reader.Take(prefix + "regex")) {
    if (!pattern->is_string()) return outer.Fail(prefix + "regex", "must be a string");
    structured.set_regex(pattern->get<std::string>());
  }
  if (const Json* grammar = reader.Take(prefix + "grammar")) {
    if (!grammar->is_string()) return outer.Fail(prefix + "grammar", "must be a string");
    structured.set_grammar(grammar->get<std::string>());
  }
  if (const Json* choices = reader.Take(prefix + "choice")) {
    if (!choices->is_array()) return outer.Fail(prefix + "choice", "must be a list of strings");
    for (const Json& choice : *choices) {
      if (!choice.is_string()) return outer.Fail(prefix + "choice", "must be a list of strings");
      structured.mutable_choice()->add_choices(choice.get<std::string>());
    }
  }
}

void ReadResponseFormat(BodyReader& reader, const Json& format, StructuredOutput& structured) {
  const std::string type = format.is_object() ? TextMember(format, "type") : "";
  if (type == "text") return;
  if (type == "json_object") return structured.set_json_object(true);
  if (type != "json_schema") {
    return reader.Fail("response_format.type", "must be text, json_object or json_schema");
  }
  const Json json_schema = format.value("json_schema", Json());
  const Json schema = json_schema.is_object() ? json_schema.value("schema", Json()) : Json();
  if (!schema.is_object() && !schema.is_boolean()) {
    return reader.Fail("response_format.json_schema", "must be {\"name\", \"schema\": {...}}");
  }
  structured.set_json_schema(JsonText(schema));
}

}  // namespace

void ReadMessages(BodyReader& reader, inference::v1::ChatRequest& chat) {
  const Json* messages = reader.Take("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return reader.Fail("messages", "must be a list of at least one message");
  }
  for (size_t i = 0; i < messages->size(); ++i)
    ReadMessage(reader, (*messages)[i], absl::StrCat("messages[", i, "]"), *chat.add_messages());
}

void ReadTools(BodyReader& reader, inference::v1::ChatRequest& chat) {
  if (const Json* tools = reader.Take("tools")) {
    if (!tools->is_array()) return reader.Fail("tools", "must be a list of tools");
    for (size_t i = 0; i < tools->size(); ++i) {
      if (TextMember((*tools)[i].is_object() ? (*tools)[i] : Json::object(), "type") != "function")
        return reader.Fail(absl::StrCat("tools[", i, "].type"), "must be \"function\"");
    }
    if (!tools->empty()) chat.set_tools_json(JsonText(*tools));
  }
  if (const Json* choice = reader.Take("tool_choice")) {
    if (choice->is_string()) {
      const std::string text = choice->get<std::string>();
      if (text != "auto" && text != "none" && text != "required") {
        return reader.Fail("tool_choice", "must be auto, none, required or name a function");
      }
      chat.set_tool_choice(text);
    } else {
      const Json function = choice->is_object() ? choice->value("function", Json()) : Json();
      const std::string name = function.is_object() ? TextMember(function, "name") : "";
      if (name.empty()) {
        return reader.Fail("tool_choice",
                           "must be {\"type\": \"function\", \"function\": {\"name\": ...}}");
      }
      chat.set_tool_choice(name);
    }
  }
  // Calls in one turn come as the model writes them; both values describe what happens.
  reader.Boolean("parallel_tool_calls");
}

void ReadStructured(BodyReader& reader, StructuredOutput& structured) {
  StructuredOutput by_format, by_names, by_guide;
  if (const Json* format = reader.Take("response_format")) {
    ReadResponseFormat(reader, *format, by_format);
  }
  if (const Json* named = reader.Take("structured_outputs")) {
    if (!named->is_object()) return reader.Fail("structured_outputs", "must be an object");
    BodyReader nested(*named);
    ReadNamedStructure(nested, reader, "", by_names);
    if (nested.Boolean("json_object")) by_names.set_json_object(true);
    if (const absl::Status status = nested.Finish(); !status.ok())
      reader.Fail("structured_outputs", status.message());
  }
  ReadNamedStructure(reader, reader, "guided_", by_guide);
  for (StructuredOutput* given : {&by_format, &by_names, &by_guide}) {
    if (given->kind_case() == StructuredOutput::KIND_NOT_SET) continue;
    if (structured.kind_case() != StructuredOutput::KIND_NOT_SET) {
      reader.Fail("response_format", "and other fields that shape the answer exclude each other");
    }
    structured = std::move(*given);
  }
}

}  // namespace oneai::serving
