// Operators, iteration and methods, with Python's meaning.
#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/chat_template/interpreter.h"
#include "models/chat_template/text.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::models::jinja {
namespace {

absl::Status TypeError(absl::string_view message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<Value> MakeString(std::string text, Budget& budget) {
  RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(text.size())));
  return Value(std::move(text));
}

absl::StatusOr<Value> MakeList(List list, Budget& budget) {
  RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(list.size() * sizeof(Value))));
  return Value(std::move(list));
}

absl::StatusOr<Value> IntegerResult(bool overflow, int64_t result) {
  if (overflow) return TypeError("integer overflow");
  return Value(result);
}

// // and % round towards minus infinity.
absl::StatusOr<Value> Integers(absl::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+") {
    const bool overflow = __builtin_add_overflow(a, b, &result);
    return IntegerResult(overflow, result);
  }
  if (op == "-") {
    const bool overflow = __builtin_sub_overflow(a, b, &result);
    return IntegerResult(overflow, result);
  }
  if (op == "*") {
    const bool overflow = __builtin_mul_overflow(a, b, &result);
    return IntegerResult(overflow, result);
  }
  if (op == "**") {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    for (int64_t i = 0; i < b && a != 1; ++i) {
      if (a == 0 || a == -1)
        return Value(a == 0 ? int64_t{0} : (b % 2 == 0 ? int64_t{1} : int64_t{-1}));
      if (__builtin_mul_overflow(result, a, &result)) return TypeError("integer overflow");
    }
    return Value(result);
  }
  if (b == 0) return TypeError("division by zero");
  if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1)
    return op == "%" ? absl::StatusOr<Value>(Value(int64_t{0}))
                     : IntegerResult(a == INT64_MIN, a == INT64_MIN ? 0 : -a);
  const int64_t remainder = a % b;
  const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
  if (op == "%") return Value(adjust ? remainder + b : remainder);
  return Value(a / b - (adjust ? 1 : 0));
}

absl::StatusOr<Value> Floats(absl::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return TypeError("division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double remainder = std::fmod(a, b);
  return Value(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder);
}

absl::StatusOr<Value> Repeat(const Value& sequence, int64_t times, Budget& budget) {
  ASSIGN_OR_RETURN(int64_t length, LengthOf(sequence));
  times = std::max<int64_t>(times, 0);
  int64_t cost = 0;
  if (__builtin_mul_overflow(times, std::max<int64_t>(length, 1) * 4, &cost)) cost = INT64_MAX / 2;
  RETURN_IF_ERROR(budget.Make(cost));
  std::string text;
  List list;
  for (int64_t i = 0; i < times; ++i) {
    if (sequence.string()) text += *sequence.string();
    if (sequence.list()) list.insert(list.end(), sequence.list()->begin(), sequence.list()->end());
  }
  return sequence.string() ? Value(std::move(text)) : Value(std::move(list));
}

// The optional argument of strip and its kind: nullptr for white space.
absl::StatusOr<const std::string*> CharsArgument(const CallArguments& arguments) {
  const Value* chars = arguments.Find(0, "chars");
  if (chars == nullptr || chars->is_none()) return nullptr;
  if (chars->string() == nullptr) return TypeError("strip characters must be a string");
  return chars->string();
}

absl::StatusOr<Value> SplitMethod(const std::string& text, const CallArguments& arguments,
                                  Budget& budget) {
  const Value* separator = arguments.Find(0, "sep");
  const Value* max = arguments.Find(1, "maxsplit");
  const int64_t splits = max != nullptr && max->is_number() ? max->AsInt() : -1;
  List parts;
  RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(text.size())));
  if (separator == nullptr || separator->is_none()) {
    for (std::string& part : SplitOnSpace(text, splits)) parts.push_back(Value(std::move(part)));
    return MakeList(std::move(parts), budget);
  }
  if (separator->string() == nullptr || separator->string()->empty())
    return TypeError("split separator must be a string that is not empty");
  const std::string& sep = *separator->string();
  size_t begin = 0;
  for (size_t at = text.find(sep); at != text.npos && static_cast<int64_t>(parts.size()) != splits;
       at = text.find(sep, begin)) {
    parts.push_back(Value(text.substr(begin, at - begin)));
    RETURN_IF_ERROR(budget.Make(sizeof(Value)));
    begin = at + sep.size();
  }
  parts.push_back(Value(text.substr(begin)));
  return MakeList(std::move(parts), budget);
}

// startswith and endswith take one affix or several.
absl::StatusOr<Value> AffixMethod(const std::string& text, bool prefix,
                                  const CallArguments& arguments) {
  const Value* affix = arguments.Find(0, "");
  auto matches = [&](const Value& value) {
    return prefix ? absl::StartsWith(text, *value.string()) : absl::EndsWith(text, *value.string());
  };
  if (affix != nullptr && affix->string() != nullptr) return Value(matches(*affix));
  if (affix == nullptr || affix->list() == nullptr)
    return TypeError("startswith and endswith take a string or several");
  for (const Value& one : *affix->list()) {
    if (one.string() == nullptr)
      return TypeError("startswith and endswith take a string or several");
    if (matches(one)) return Value(true);
  }
  return Value(false);
}

absl::StatusOr<Value> StringMethod(const std::string& text, absl::string_view name,
                                   const CallArguments& arguments, Budget& budget) {
  RETURN_IF_ERROR(budget.Step(static_cast<int64_t>(text.size() / 256)));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    ASSIGN_OR_RETURN(const std::string* chars, CharsArgument(arguments));
    return MakeString(Strip(text, chars, name != "rstrip", name != "lstrip"), budget);
  }
  if (name == "startswith" || name == "endswith")
    return AffixMethod(text, name == "startswith", arguments);
  if (name == "split") return SplitMethod(text, arguments, budget);
  if (name == "splitlines") {
    List lines;
    for (std::string& line : SplitLines(text)) lines.push_back(Value(std::move(line)));
    RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(text.size())));
    return MakeList(std::move(lines), budget);
  }
  if (name == "upper") return MakeString(ToUpper(text), budget);
  if (name == "lower") return MakeString(ToLower(text), budget);
  if (name == "title") return MakeString(ToTitle(text), budget);
  if (name == "capitalize") return MakeString(Capitalize(text), budget);
  if (name == "isdigit")
    return Value(!text.empty() && std::all_of(text.begin(), text.end(),
                                              [](char c) { return c >= '0' && c <= '9'; }));
  if (name == "join")
    return ApplyFilter("join", arguments.Find(0, "") ? *arguments.Find(0, "") : Value(),
                       {.positional = {Value(text)}}, budget);
  const Value* first = arguments.Find(0, "");
  if (first == nullptr || first->string() == nullptr)
    return TypeError(absl::StrCat("str.", name, " takes a string"));
  if (name == "replace") return ApplyFilter("replace", Value(text), arguments, budget);
  if (first->string()->empty()) return TypeError(absl::StrCat("str.", name, " of an empty string"));
  if (name == "find") {
    const size_t at = text.find(*first->string());
    return Value(at == text.npos
                     ? int64_t{-1}
                     : static_cast<int64_t>(CountChars(absl::string_view(text).substr(0, at))));
  }
  int64_t count = 0;  // name == "count"
  for (size_t at = text.find(*first->string()); at != text.npos;
       at = text.find(*first->string(), at + first->string()->size()))
    ++count;
  return Value(count);
}

absl::StatusOr<Value> DictMethod(const Dict& dict, absl::string_view name,
                                 const CallArguments& arguments, Budget& budget) {
  if (name == "get") {
    const Value* key = arguments.Find(0, "");
    const Value* fallback = arguments.Find(1, "");
    if (key == nullptr) return TypeError("dict.get takes a key");
    const Value* found = key->string() ? dict.Find(*key->string()) : nullptr;
    return found != nullptr ? *found : fallback != nullptr ? *fallback : Value::MakeNone();
  }
  List list;
  for (const auto& [key, value] : dict.entries()) {
    if (name == "keys") list.push_back(Value(key));
    if (name == "values") list.push_back(value);
    if (name == "items") list.push_back(Value(List{Value(key), value}));
    RETURN_IF_ERROR(budget.Make(static_cast<int64_t>(key.size() + 4 * sizeof(Value))));
  }
  return Value(std::move(list));
}

constexpr absl::string_view kStringMethods[] = {
    "strip", "lstrip", "rstrip",     "startswith", "endswith", "split",   "splitlines", "upper",
    "lower", "title",  "capitalize", "isdigit",    "join",     "replace", "find",       "count"};
constexpr absl::string_view kDictMethods[] = {"items", "keys", "values", "get"};

}  // namespace

absl::StatusOr<int64_t> LengthOf(const Value& value) {
  if (value.string()) return static_cast<int64_t>(CountChars(*value.string()));
  if (value.list()) return static_cast<int64_t>(value.list()->size());
  if (value.dict()) return static_cast<int64_t>(value.dict()->entries().size());
  if (value.is_undefined()) return 0;
  return TypeError(absl::StrCat("object of type ", value.TypeName(), " has no length"));
}

absl::StatusOr<List> Iterate(const Value& value, Budget& budget) {
  ASSIGN_OR_RETURN(int64_t length, LengthOf(value));
  RETURN_IF_ERROR(budget.Make(length * static_cast<int64_t>(sizeof(Value))));
  if (value.list()) return *value.list();
  List items;
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, unused] : dict->entries()) items.push_back(Value(key));
  } else if (const std::string* text = value.string()) {
    RETURN_IF_ERROR(budget.Make(length * 64));
    for (size_t pos = 0; pos < text->size();) {
      const size_t bytes = DecodeUtf8(*text, pos).bytes;
      items.push_back(Value(text->substr(pos, bytes)));
      pos += bytes;
    }
  }
  return items;
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget& budget) {
  if (const std::string* text = container.string()) {
    if (item.string() == nullptr)
      return TypeError(absl::StrCat("'in <string>' requires a string, found ", item.TypeName()));
    RETURN_IF_ERROR(budget.Step(static_cast<int64_t>(text->size() / 256)));
    return absl::StrContains(*text, *item.string());
  }
  if (const List* list = container.list()) {
    RETURN_IF_ERROR(budget.Step(static_cast<int64_t>(list->size())));
    return std::any_of(list->begin(), list->end(), [&](const Value& v) { return Equal(v, item); });
  }
  if (const Dict* dict = container.dict())
    return item.string() && dict->Find(*item.string()) != nullptr;
  if (container.is_undefined()) return false;
  return TypeError(absl::StrCat("argument of type ", container.TypeName(), " is not iterable"));
}

absl::StatusOr<int> Order(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float())
      return a.AsDouble() < b.AsDouble() ? -1 : a.AsDouble() > b.AsDouble() ? 1 : 0;
    return a.AsInt() < b.AsInt() ? -1 : a.AsInt() > b.AsInt() ? 1 : 0;
  }
  // Bytes of UTF-8 order as code points do.
  if (a.string() && b.string()) return a.string()->compare(*b.string());
  return TypeError(
      absl::StrCat("'<' is not supported between ", a.TypeName(), " and ", b.TypeName()));
}

absl::StatusOr<Value> Binary(absl::string_view op, const Value& a, const Value& b, Budget& budget) {
  if (op == "~") return MakeString(absl::StrCat(ToText(a), ToText(b)), budget);
  if (a.is_number() && b.is_number()) {
    if (a.is_float() || b.is_float()) return Floats(op, a.AsDouble(), b.AsDouble());
    return Integers(op, a.AsInt(), b.AsInt());
  }
  if (op == "+" && a.string() && b.string())
    return MakeString(absl::StrCat(*a.string(), *b.string()), budget);
  if (op == "+" && a.list() && b.list()) {
    List joined = *a.list();
    joined.insert(joined.end(), b.list()->begin(), b.list()->end());
    return MakeList(std::move(joined), budget);
  }
  const bool a_sequence = a.string() || a.list(), b_sequence = b.string() || b.list();
  if (op == "*" && a_sequence && b.is_number() && !b.is_float())
    return Repeat(a, b.AsInt(), budget);
  if (op == "*" && b_sequence && a.is_number() && !a.is_float())
    return Repeat(b, a.AsInt(), budget);
  if (op == "%" && a.string())
    return absl::UnimplementedError("formatting with % is not supported; use ~");
  return TypeError(
      absl::StrCat("cannot apply '", op, "' to ", a.TypeName(), " and ", b.TypeName()));
}

absl::StatusOr<Value> Slice(const Value& value, const Value& begin, const Value& end,
                            const Value& step, Budget& budget) {
  if (!value.string() && !value.list())
    return TypeError(absl::StrCat("a value of type ", value.TypeName(), " cannot be sliced"));
  for (const Value* part : {&begin, &end, &step})
    if (!part->is_none() && (!part->is_number() || part->is_float()))
      return TypeError("slice indices must be integers or none");
  ASSIGN_OR_RETURN(List items, Iterate(value, budget));
  const int64_t length = static_cast<int64_t>(items.size());
  const int64_t stride = step.is_none() ? 1 : step.AsInt();
  if (stride == 0) return TypeError("slice step cannot be zero");
  // As in Python's slice.indices().
  const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? length : length - 1;
  auto bound = [&](const Value& part, int64_t fallback) {
    if (part.is_none()) return fallback;
    const int64_t index =
        part.AsInt() < 0 ? std::max(part.AsInt(), -length - 1) + length : part.AsInt();
    return std::clamp(index, low, high);
  };
  const int64_t first = bound(begin, stride > 0 ? low : high),
                last = bound(end, stride > 0 ? high : low);
  List picked;
  std::string text;
  for (int64_t i = first; stride > 0 ? i < last : i > last;) {
    if (value.string()) {
      text += *items[i].string();
    } else {
      picked.push_back(items[i]);
    }
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  return value.string() ? Value(std::move(text)) : Value(std::move(picked));
}

bool HasMethod(const Value& self, absl::string_view name) {
  auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (self.string()) return has(kStringMethods);
  if (self.dict()) return has(kDictMethods);
  return self.loop() != nullptr && name == "cycle";
}

absl::StatusOr<Value> CallMethod(const Value& self, absl::string_view name,
                                 const CallArguments& arguments, Budget& budget) {
  if (self.string()) return StringMethod(*self.string(), name, arguments, budget);
  if (self.dict()) return DictMethod(*self.dict(), name, arguments, budget);
  if (arguments.positional.empty()) return TypeError("loop.cycle takes values");
  return arguments.positional[self.loop()->index % arguments.positional.size()];
}

Value AttributeOf(const Value& value, absl::string_view name) {
  if (const Dict* dict = value.dict()) {
    const Value* found = dict->Find(name);
    return found != nullptr ? *found : Value();
  }
  if (const Namespace* space = value.name_space()) {
    const Value* found = space->attributes->Find(name);
    return found != nullptr ? *found : Value();
  }
  const LoopState* loop = value.loop();
  if (loop == nullptr) return Value();
  const int64_t index = static_cast<int64_t>(loop->index);
  const int64_t length = static_cast<int64_t>(loop->items->size());
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "revindex") return Value(length - index);
  if (name == "revindex0") return Value(length - index - 1);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == length);
  if (name == "length") return Value(length);
  if (name == "previtem" && index > 0) return (*loop->items)[index - 1];
  if (name == "nextitem" && index + 1 < length) return (*loop->items)[index + 1];
  return Value();
}

}  // namespace oneai::models::jinja
