#include "models/chat_template/value.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::models::jinja {
namespace {

constexpr size_t kIndexedEntries = 16;

// Python's repr(str): single quotes unless that needs escaping and double quotes do not.
void AppendStringRepr(absl::string_view text, std::string& out) {
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.push_back(quote);
  for (size_t pos = 0; pos < text.size();) {
    const Utf8Char c = DecodeUtf8(text, pos);
    const absl::string_view bytes = text.substr(pos, c.bytes);
    pos += c.bytes;
    if (c.code_point == static_cast<uint32_t>(quote) || c.code_point == '\\') {
      absl::StrAppend(&out, "\\", bytes);
    } else if (c.code_point == '\n') {
      absl::StrAppend(&out, "\\n");
    } else if (c.code_point == '\r') {
      absl::StrAppend(&out, "\\r");
    } else if (c.code_point == '\t') {
      absl::StrAppend(&out, "\\t");
    } else if (c.code_point == ' ' || c.code_point == kIllFormed ||
               (u_isprint(static_cast<UChar32>(c.code_point)) &&
                ClassOf(c.code_point) != CharClass::kSpace)) {
      absl::StrAppend(&out, bytes);
    } else if (c.code_point < 0x100) {
      absl::StrAppendFormat(&out, "\\x%02x", c.code_point);
    } else if (c.code_point < 0x10000) {
      absl::StrAppendFormat(&out, "\\u%04x", c.code_point);
    } else {
      absl::StrAppendFormat(&out, "\\U%08x", c.code_point);
    }
  }
  out.push_back(quote);
}

void AppendRepr(const Value& value, std::string& out) {
  if (const std::string* text = value.string()) return AppendStringRepr(*text, out);
  if (const List* list = value.list()) {
    out.push_back('[');
    for (size_t i = 0; i < list->size(); ++i) {
      if (i > 0) absl::StrAppend(&out, ", ");
      AppendRepr((*list)[i], out);
    }
    out.push_back(']');
    return;
  }
  const Namespace* space = value.name_space();
  if (const Dict* dict = space != nullptr ? space->attributes.get() : value.dict()) {
    absl::StrAppend(&out, space != nullptr ? "<Namespace {" : "{");
    bool first = true;
    for (const auto& [key, item] : dict->entries()) {
      if (!first) absl::StrAppend(&out, ", ");
      first = false;
      AppendStringRepr(key, out);
      absl::StrAppend(&out, ": ");
      AppendRepr(item, out);
    }
    absl::StrAppend(&out, space != nullptr ? "}>" : "}");
    return;
  }
  if (value.is_undefined()) {
    absl::StrAppend(&out, "Undefined");
  } else if (value.is_none()) {
    absl::StrAppend(&out, "None");
  } else if (value.is_bool()) {
    absl::StrAppend(&out, value.AsInt() != 0 ? "True" : "False");
  } else if (value.is_int()) {
    absl::StrAppend(&out, value.AsInt());
  } else if (value.big_int() != nullptr) {
    absl::StrAppend(&out, *value.big_int());
  } else if (value.is_float()) {
    absl::StrAppend(&out, FloatText(value.AsDouble()));
  } else {
    absl::StrAppend(&out, "<", value.TypeName(), ">");
  }
}

void AppendJsonString(absl::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        absl::StrAppend(&out, "\\\"");
        break;
      case '\\':
        absl::StrAppend(&out, "\\\\");
        break;
      case '\n':
        absl::StrAppend(&out, "\\n");
        break;
      case '\r':
        absl::StrAppend(&out, "\\r");
        break;
      case '\t':
        absl::StrAppend(&out, "\\t");
        break;
      case '\b':
        absl::StrAppend(&out, "\\b");
        break;
      case '\f':
        absl::StrAppend(&out, "\\f");
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          absl::StrAppendFormat(&out, "\\u%04x", static_cast<int>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

// Python puts items on lines of their own when indenting, and ", " between them when not.
void AppendJsonBreak(int indent, int level, bool first, std::string& out) {
  if (!first) out.push_back(',');
  if (indent >= 0) {
    out.push_back('\n');
    out.append(static_cast<size_t>(indent) * level, ' ');
  } else if (!first) {
    out.push_back(' ');
  }
}

absl::Status AppendJsonAt(const Value& value, int indent, int level, std::string& out) {
  if (const std::string* text = value.string()) {
    AppendJsonString(*text, out);
  } else if (const List* list = value.list()) {
    out.push_back('[');
    for (size_t i = 0; i < list->size(); ++i) {
      AppendJsonBreak(indent, level + 1, i == 0, out);
      RETURN_IF_ERROR(AppendJsonAt((*list)[i], indent, level + 1, out));
    }
    if (!list->empty() && indent >= 0)
      absl::StrAppend(&out, "\n", std::string(indent * level, ' '));
    out.push_back(']');
  } else if (const Dict* dict = value.dict()) {
    out.push_back('{');
    bool first = true;
    for (const auto& [key, item] : dict->entries()) {
      AppendJsonBreak(indent, level + 1, first, out);
      first = false;
      AppendJsonString(key, out);
      absl::StrAppend(&out, ": ");
      RETURN_IF_ERROR(AppendJsonAt(item, indent, level + 1, out));
    }
    if (!first && indent >= 0) absl::StrAppend(&out, "\n", std::string(indent * level, ' '));
    out.push_back('}');
  } else if (value.is_none()) {
    absl::StrAppend(&out, "null");
  } else if (value.is_bool()) {
    absl::StrAppend(&out, value.AsInt() != 0 ? "true" : "false");
  } else if (value.is_number() || value.big_int() != nullptr) {
    AppendRepr(value, out);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("a value of type ", value.TypeName(), " cannot be written as JSON"));
  }
  return absl::OkStatus();
}

}  // namespace

Value::Value(List v) {
  int deepest = 0;
  for (const Value& item : v) deepest = std::max(deepest, item.depth_);
  depth_ = deepest + 1;
  rep_ = std::make_shared<const List>(std::move(v));
}

Value::Value(Dict v) {
  int deepest = 0;
  for (const auto& [key, item] : v.entries()) deepest = std::max(deepest, item.depth_);
  depth_ = deepest + 1;
  rep_ = std::make_shared<const Dict>(std::move(v));
}

double Value::AsDouble() const {
  if (const double* v = std::get_if<double>(&rep_)) return *v;
  return static_cast<double>(AsInt());
}

int64_t Value::AsInt() const {
  if (const bool* v = std::get_if<bool>(&rep_)) return *v ? 1 : 0;
  if (const int64_t* v = std::get_if<int64_t>(&rep_)) return *v;
  if (const double* v = std::get_if<double>(&rep_))
    return std::abs(*v) < 9.2e18 ? static_cast<int64_t>(*v) : 0;
  return 0;
}

bool Value::Truthy() const {
  if (is_undefined() || is_none()) return false;
  if (is_float()) return AsDouble() != 0;
  if (is_number()) return AsInt() != 0;
  if (const std::string* v = string()) return !v->empty();
  if (const List* v = list()) return !v->empty();
  if (const Dict* v = dict()) return !v->entries().empty();
  return true;
}

absl::string_view Value::TypeName() const {
  static constexpr absl::string_view kNames[] = {"undefined", "NoneType", "bool",     "int",
                                                 "float",     "str",      "list",     "dict",
                                                 "namespace", "loop",     "function", "int"};
  return kNames[rep_.index()];
}

size_t Dict::IndexOf(absl::string_view key) const {
  if (sorted_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i)
      if (entries_[i].first == key) return i;
    return entries_.size();
  }
  auto it = std::lower_bound(sorted_.begin(), sorted_.end(), key,
                             [&](size_t i, absl::string_view k) { return entries_[i].first < k; });
  return it != sorted_.end() && entries_[*it].first == key ? *it : entries_.size();
}

const Value* Dict::Find(absl::string_view key) const {
  const size_t i = IndexOf(key);
  return i == entries_.size() ? nullptr : &entries_[i].second;
}

void Dict::Set(absl::string_view key, Value value) {
  const size_t i = IndexOf(key);
  if (i < entries_.size()) {
    entries_[i].second = std::move(value);
    return;
  }
  entries_.emplace_back(std::string(key), std::move(value));
  auto by_key = [&](size_t a, size_t b) { return entries_[a].first < entries_[b].first; };
  if (entries_.size() == kIndexedEntries) {
    for (size_t j = 0; j < entries_.size(); ++j) sorted_.push_back(j);
    std::sort(sorted_.begin(), sorted_.end(), by_key);
  } else if (entries_.size() > kIndexedEntries) {
    sorted_.insert(std::lower_bound(sorted_.begin(), sorted_.end(), i, by_key), i);
  }
}

bool Equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return a.AsDouble() == b.AsDouble();
    return a.AsInt() == b.AsInt();
  }
  if (a.big_int() && b.big_int()) return *a.big_int() == *b.big_int();
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() && b.list())
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                      Equal);
  if (a.dict() && b.dict()) {
    if (a.dict()->entries().size() != b.dict()->entries().size()) return false;
    for (const auto& [key, value] : a.dict()->entries()) {
      const Value* other = b.dict()->Find(key);
      if (other == nullptr || !Equal(value, *other)) return false;
    }
    return true;
  }
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

std::string ToText(const Value& value) {
  if (const std::string* text = value.string()) return *text;
  if (value.is_undefined()) return "";
  return ToRepr(value);
}

std::string ToRepr(const Value& value) {
  std::string out;
  AppendRepr(value, out);
  return out;
}

absl::Status AppendJson(const Value& value, int indent, std::string& out) {
  return AppendJsonAt(value, indent, 0, out);
}

absl::StatusOr<Value> FromJson(const OrderedJson& json) {
  switch (json.type()) {
    case OrderedJson::value_t::null:
      return Value::MakeNone();
    case OrderedJson::value_t::boolean:
      return Value(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return Value(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
        return Value(json.get<uint64_t>());
      return Value(json.get<int64_t>());
    case OrderedJson::value_t::number_float:
      return Value(json.get<double>());
    case OrderedJson::value_t::string:
      return Value(json.get<std::string>());
    case OrderedJson::value_t::array: {
      List list;
      list.reserve(json.size());
      for (const OrderedJson& item : json) {
        ASSIGN_OR_RETURN(Value value, FromJson(item));
        list.push_back(std::move(value));
      }
      return Value(std::move(list));
    }
    case OrderedJson::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) {
        ASSIGN_OR_RETURN(Value value, FromJson(item));
        dict.Set(key, std::move(value));
      }
      return Value(std::move(dict));
    }
    case OrderedJson::value_t::binary:
    case OrderedJson::value_t::discarded:
      break;
  }
  return absl::InvalidArgumentError("not a JSON value");
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const absl::string_view text(buffer, end - buffer);  // d.ddde[+-]xx
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string out(buffer, fixed);
  if (out.find('.') == out.npos) out += ".0";
  return out;
}

}  // namespace oneai::models::jinja
