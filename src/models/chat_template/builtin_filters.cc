// Filters (value | name) and tests (value is name) of Jinja2 3.1 that chat templates use.
#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/chat_template/interpreter.h"
#include "models/chat_template/text.h"

namespace oneai::models::jinja {
namespace {

using FilterFn = absl::StatusOr<Value> (*)(const Value&, const CallArguments&, Budget&);
using TestFn = absl::StatusOr<bool> (*)(const Value&, const CallArguments&);

absl::Status TypeError(absl::string_view message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<Value> MakeString(std::string text, Budget& budget) {
  RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(text.size())));
  return Value(std::move(text));
}

absl::StatusOr<Value> ToJson(const Value& value, const CallArguments& arguments, Budget& budget) {
  for (const auto& [key, unused] : arguments.keyword)
    if (key != "indent" && key != "ensure_ascii")
      return absl::UnimplementedError(
          absl::StrCat("tojson: the argument '", key, "' is not supported"));
  const Value* indent = arguments.Find(1, "indent");
  const Value* ensure_ascii = arguments.Find(0, "ensure_ascii");
  if (ensure_ascii != nullptr && ensure_ascii->Truthy())
    return absl::UnimplementedError("tojson: ensure_ascii is not supported");
  const bool has_indent = indent != nullptr && indent->is_number();
  if (has_indent && (indent->AsInt() < 0 || indent->AsInt() > 64))
    return TypeError("tojson: indent must be 0 to 64");
  std::string out;
  RETURN_IF_ERROR(AppendJson(value, has_indent ? static_cast<int>(indent->AsInt()) : -1, out));
  return MakeString(std::move(out), budget);
}

absl::StatusOr<Value> Trim(const Value& value, const CallArguments& arguments, Budget& budget) {
  const Value* chars = arguments.Find(0, "chars");
  return MakeString(Strip(ToText(value), chars != nullptr ? chars->string() : nullptr, true, true),
                    budget);
}

absl::StatusOr<Value> Length(const Value& value, const CallArguments&, Budget&) {
  ASSIGN_OR_RETURN(int64_t length, LengthOf(value));
  return Value(length);
}

absl::StatusOr<Value> String(const Value& value, const CallArguments&, Budget& budget) {
  return value.string() ? absl::StatusOr<Value>(value) : MakeString(ToText(value), budget);
}

absl::StatusOr<Value> Items(const Value& value, const CallArguments&, Budget& budget) {
  if (value.is_undefined()) return Value(List{});
  if (!value.dict()) return TypeError("Can only get item pairs from a mapping.");
  return CallMethod(value, "items", {}, budget);
}

absl::StatusOr<Value> Default(const Value& value, const CallArguments& arguments, Budget&) {
  const Value* fallback = arguments.Find(0, "default_value");
  const Value* boolean = arguments.Find(1, "boolean");
  const bool missing = value.is_undefined() || (boolean && boolean->Truthy() && !value.Truthy());
  if (!missing) return value;
  return fallback != nullptr ? *fallback : Value(std::string());
}

absl::StatusOr<Value> First(const Value& value, const CallArguments&, Budget& budget) {
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  return items.empty() ? Value() : items.front();
}

absl::StatusOr<Value> Last(const Value& value, const CallArguments&, Budget& budget) {
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  return items.empty() ? Value() : items.back();
}

absl::StatusOr<Value> Reverse(const Value& value, const CallArguments&, Budget& budget) {
  return Slice(value, Value::MakeNone(), Value::MakeNone(), Value(int64_t{-1}), budget);
}

absl::StatusOr<Value> ToList(const Value& value, const CallArguments&, Budget& budget) {
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  return Value(std::move(items));
}

// item.a.b for a dotted path; numbers index lists.
Value Path(Value value, absl::string_view path) {
  while (!path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    const absl::string_view name = path.substr(0, dot);
    int64_t index = 0;
    if (value.list() && absl::SimpleAtoi(name, &index)) {
      value = index >= 0 && index < static_cast<int64_t>(value.list()->size())
                  ? (*value.list())[index]
                  : Value();
    } else {
      value = AttributeOf(value, name);
    }
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return value;
}

absl::StatusOr<Value> Join(const Value& value, const CallArguments& arguments, Budget& budget) {
  const Value* separator = arguments.Find(0, "d");
  const Value* attribute = arguments.Find(1, "attribute");
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && separator != nullptr) out += ToText(*separator);
    out +=
        ToText(attribute && attribute->string() ? Path(items[i], *attribute->string()) : items[i]);
    RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(out.size() / 16)));
  }
  return MakeString(std::move(out), budget);
}

absl::StatusOr<Value> Replace(const Value& value, const CallArguments& arguments, Budget& budget) {
  const Value* from = arguments.Find(0, "old");
  const Value* to = arguments.Find(1, "new");
  const Value* max = arguments.Find(2, "count");
  if (!from || !from->string() || !to || !to->string())
    return TypeError("replace takes two strings");
  if (from->string()->empty())
    return absl::UnimplementedError("replace of an empty string is not supported");
  const std::string text = ToText(value);
  int64_t left = max != nullptr && max->is_number() && max->AsInt() >= 0 ? max->AsInt() : INT64_MAX;
  std::string out;
  size_t begin = 0;
  for (size_t at = text.find(*from->string()); at != text.npos && left > 0;
       at = text.find(*from->string(), begin), --left) {
    absl::StrAppend(&out, text.substr(begin, at - begin), *to->string());
    begin = at + from->string()->size();
    RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(to->string()->size())));
  }
  absl::StrAppend(&out, text.substr(begin));
  return MakeString(std::move(out), budget);
}

template <std::string (*kChange)(absl::string_view)>
absl::StatusOr<Value> ChangeText(const Value& value, const CallArguments&, Budget& budget) {
  return MakeString(kChange(ToText(value)), budget);
}

absl::StatusOr<Value> ToInt(const Value& value, const CallArguments& arguments, Budget&) {
  if (value.is_number()) return Value(value.AsInt());
  int64_t number = 0;
  if (value.string() && absl::SimpleAtoi(*value.string(), &number)) return Value(number);
  const Value* fallback = arguments.Find(0, "default");
  return fallback != nullptr ? *fallback : Value(int64_t{0});
}

absl::StatusOr<Value> ToFloat(const Value& value, const CallArguments& arguments, Budget&) {
  if (value.is_number()) return Value(value.AsDouble());
  double number = 0;
  if (value.string() && absl::SimpleAtod(*value.string(), &number)) return Value(number);
  const Value* fallback = arguments.Find(0, "default");
  return fallback != nullptr ? *fallback : Value(0.0);
}

absl::StatusOr<Value> Abs(const Value& value, const CallArguments&, Budget&) {
  if (!value.is_number()) return TypeError("abs takes a number");
  if (value.is_float()) return Value(std::abs(value.AsDouble()));
  return value.AsInt() == INT64_MIN ? absl::StatusOr<Value>(TypeError("integer overflow"))
                                    : Value(std::abs(value.AsInt()));
}

// Indents all lines but the first, and not empty ones.
absl::StatusOr<Value> Indent(const Value& value, const CallArguments& arguments, Budget& budget) {
  const Value* width = arguments.Find(0, "width");
  const Value* first = arguments.Find(1, "first");
  const int64_t spaces = width != nullptr && width->is_number() ? width->AsInt() : 4;
  if (spaces < 0 || spaces > 1000) return TypeError("indent must be 0 to 1000");
  const std::string pad(spaces, ' '), text = ToText(value);
  std::string out = first != nullptr && first->Truthy() ? pad : "";
  for (size_t i = 0; i < text.size(); ++i) {
    out.push_back(text[i]);
    if (text[i] == '\n' && i + 1 < text.size() && text[i + 1] != '\n') out += pad;
    if (text[i] == '\n') RETURN_IF_ERROR(budget.Make(spaces));
  }
  return MakeString(std::move(out), budget);
}

// select, reject (by the item) and selectattr, rejectattr (by an attribute of it).
absl::StatusOr<Value> Pick(const Value& value, const CallArguments& arguments, Budget& budget,
                           bool by_attribute, bool keep) {
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  const size_t skip = by_attribute ? 1 : 0;
  if (by_attribute && (arguments.positional.empty() || !arguments.positional[0].string()))
    return TypeError("selectattr and rejectattr take the name of an attribute");
  std::string test;
  CallArguments rest;
  for (size_t i = skip; i < arguments.positional.size(); ++i) {
    if (i == skip) {
      test = ToText(arguments.positional[i]);
      if (!IsKnownTest(test))
        return absl::UnimplementedError(absl::StrCat("the test '", test, "' is not supported"));
    } else {
      rest.positional.push_back(arguments.positional[i]);
    }
  }
  List picked;
  for (Value& item : items) {
    RETURN_IF_ERROR(budget.Step());
    const Value subject = by_attribute ? Path(item, *arguments.positional[0].string()) : item;
    bool passes = subject.Truthy();
    if (!test.empty()) {
      ASSIGN_OR_RETURN(passes, ApplyTest(test, subject, rest));
    }
    if (passes == keep) picked.push_back(std::move(item));
  }
  return Value(std::move(picked));
}

template <bool kByAttribute, bool kKeep>
absl::StatusOr<Value> PickFilter(const Value& value, const CallArguments& arguments,
                                 Budget& budget) {
  return Pick(value, arguments, budget, kByAttribute, kKeep);
}

// map(attribute='x') or map('filter').
absl::StatusOr<Value> Map(const Value& value, const CallArguments& arguments, Budget& budget) {
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  const Value* attribute = arguments.Find(1000, "attribute");  // by keyword only
  const Value* fallback = arguments.Find(1000, "default");
  const Value* filter = arguments.Find(0, "");
  if (attribute == nullptr &&
      (filter == nullptr || !filter->string() || !IsKnownFilter(*filter->string())))
    return TypeError("map takes attribute='name' or the name of a filter");
  CallArguments rest;
  if (attribute == nullptr)
    rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
  for (Value& item : items) {
    RETURN_IF_ERROR(budget.Step());
    if (attribute != nullptr) {
      item = Path(item, ToText(*attribute));
      if (item.is_undefined() && fallback != nullptr) item = *fallback;
    } else {
      ASSIGN_OR_RETURN(item, ApplyFilter(*filter->string(), item, rest, budget));
    }
  }
  return Value(std::move(items));
}

absl::StatusOr<Value> Same(const Value& value, const CallArguments&, Budget&) { return value; }

struct NamedFilter {
  absl::string_view name;
  FilterFn fn;
};
// `safe` changes nothing: autoescape is off in chat templates.
constexpr NamedFilter kFilters[] = {{"tojson", ToJson},
                                    {"trim", Trim},
                                    {"length", Length},
                                    {"count", Length},
                                    {"string", String},
                                    {"items", Items},
                                    {"safe", Same},
                                    {"default", Default},
                                    {"d", Default},
                                    {"first", First},
                                    {"last", Last},
                                    {"reverse", Reverse},
                                    {"list", ToList},
                                    {"join", Join},
                                    {"replace", Replace},
                                    {"upper", ChangeText<ToUpper>},
                                    {"lower", ChangeText<ToLower>},
                                    {"title", ChangeText<ToTitle>},
                                    {"capitalize", ChangeText<Capitalize>},
                                    {"int", ToInt},
                                    {"float", ToFloat},
                                    {"abs", Abs},
                                    {"indent", Indent},
                                    {"select", PickFilter<false, true>},
                                    {"reject", PickFilter<false, false>},
                                    {"selectattr", PickFilter<true, true>},
                                    {"rejectattr", PickFilter<true, false>},
                                    {"map", Map}};

template <bool (*kTest)(const Value&)>
absl::StatusOr<bool> Unary(const Value& value, const CallArguments&) {
  return kTest(value);
}

absl::StatusOr<Value> TestArgument(const CallArguments& arguments) {
  if (arguments.positional.size() != 1) return TypeError("this test takes one argument");
  return arguments.positional[0];
}

absl::StatusOr<bool> IsEqual(const Value& value, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value other, TestArgument(arguments));
  return Equal(value, other);
}

absl::StatusOr<bool> IsNotEqual(const Value& value, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value other, TestArgument(arguments));
  return !Equal(value, other);
}

absl::StatusOr<bool> IsIn(const Value& value, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value container, TestArgument(arguments));
  Budget budget{RenderLimits()};
  return Contains(container, value, budget);
}

absl::StatusOr<bool> IsDivisible(const Value& value, const CallArguments& arguments) {
  ASSIGN_OR_RETURN(Value divisor, TestArgument(arguments));
  if (!value.is_number() || !divisor.is_number() || divisor.AsInt() == 0 || divisor.AsInt() == -1)
    return TypeError("divisibleby takes integers");
  return value.AsInt() % divisor.AsInt() == 0;
}

// Undefined can be iterated (as nothing), and so counts as a sequence, in Jinja, too.
bool IsIterable(const Value& v) { return v.string() || v.list() || v.dict() || v.is_undefined(); }
bool IsDefined(const Value& v) { return !v.is_undefined(); }
bool IsUndefined(const Value& v) { return v.is_undefined(); }
bool IsNone(const Value& v) { return v.is_none(); }
bool IsString(const Value& v) { return v.string() != nullptr; }
bool IsMapping(const Value& v) { return v.dict() != nullptr; }
bool IsNumber(const Value& v) { return v.is_number() || v.big_int(); }
bool IsInteger(const Value& v) { return v.is_int() || v.big_int(); }
bool IsFloat(const Value& v) { return v.is_float(); }
bool IsBoolean(const Value& v) { return v.is_bool(); }
bool IsTrue(const Value& v) { return v.is_bool() && v.Truthy(); }
bool IsFalse(const Value& v) { return v.is_bool() && !v.Truthy(); }
bool IsOdd(const Value& v) { return v.is_number() && v.AsInt() % 2 != 0; }
bool IsEven(const Value& v) { return v.is_number() && v.AsInt() % 2 == 0; }
bool IsCallable(const Value& v) { return v.callable() != nullptr; }

struct NamedTest {
  absl::string_view name;
  TestFn fn;
};
constexpr NamedTest kTests[] = {{"defined", Unary<IsDefined>},
                                {"undefined", Unary<IsUndefined>},
                                {"none", Unary<IsNone>},
                                {"string", Unary<IsString>},
                                {"mapping", Unary<IsMapping>},
                                {"sequence", Unary<IsIterable>},
                                {"iterable", Unary<IsIterable>},
                                {"number", Unary<IsNumber>},
                                {"integer", Unary<IsInteger>},
                                {"float", Unary<IsFloat>},
                                {"boolean", Unary<IsBoolean>},
                                {"true", Unary<IsTrue>},
                                {"false", Unary<IsFalse>},
                                {"odd", Unary<IsOdd>},
                                {"even", Unary<IsEven>},
                                {"callable", Unary<IsCallable>},
                                {"equalto", IsEqual},
                                {"eq", IsEqual},
                                {"ne", IsNotEqual},
                                {"in", IsIn},
                                {"divisibleby", IsDivisible}};

}  // namespace

bool IsKnownFilter(absl::string_view name) {
  return std::any_of(std::begin(kFilters), std::end(kFilters),
                     [&](const auto& f) { return f.name == name; });
}

bool IsKnownTest(absl::string_view name) {
  return std::any_of(std::begin(kTests), std::end(kTests),
                     [&](const auto& t) { return t.name == name; });
}

absl::StatusOr<Value> ApplyFilter(absl::string_view name, const Value& value,
                                  const CallArguments& arguments, Budget& budget) {
  for (const NamedFilter& filter : kFilters)
    if (filter.name == name) return filter.fn(value, arguments, budget);
  return absl::UnimplementedError(absl::StrCat("the filter '", name, "' is not supported"));
}

absl::StatusOr<bool> ApplyTest(absl::string_view name, const Value& value,
                               const CallArguments& arguments) {
  for (const NamedTest& test : kTests)
    if (test.name == name) return test.fn(value, arguments);
  return absl::UnimplementedError(absl::StrCat("the test '", name, "' is not supported"));
}

}  // namespace oneai::models::jinja
