// File: models/chat_template/value.h
//
// Values of the template language: those of JSON, with maps in insertion order, and what a template
// makes itself (undefined, namespaces, loops, macros). Text forms are Python's, since templates are
// written for Jinja2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/json/json_reader.h"

namespace oneai::models::jinja {

class Value;
class Dict;
struct LoopState;
struct Callable;

using List = std::vector<Value>;

// Containers are at most this deep, so that walking them recursively is safe.
inline constexpr int kValueDepthMax = 128;
// The "depth" of values that no container may hold: namespaces, loops, functions. They could form
// cycles.
inline constexpr int kNotData = 1'000'000;

struct Undefined {};
struct None {};
// A mutable object made by namespace(); copies share it.
struct Namespace {
  std::shared_ptr<Dict> attributes;
};

// Copies are cheap: strings and containers are shared, and immutable but for namespaces.
class Value {
 public:
  Value() : rep_(Undefined{}) {}
  explicit Value(bool v) : rep_(v) {}
  explicit Value(int64_t v) : rep_(v) {}
  explicit Value(double v) : rep_(v) {}
  // An integer above int64: can be shown and compared, but not calculated with.
  explicit Value(uint64_t v) : rep_(v) {}
  explicit Value(std::string v) : rep_(std::make_shared<const std::string>(std::move(v))) {}
  explicit Value(List v);
  explicit Value(Dict v);
  explicit Value(Namespace v) : rep_(std::move(v)), depth_(kNotData) {}
  explicit Value(std::shared_ptr<const LoopState> v) : rep_(std::move(v)), depth_(kNotData) {}
  explicit Value(std::shared_ptr<const Callable> v) : rep_(std::move(v)), depth_(kNotData) {}
  static Value MakeNone() {
    Value v;
    v.rep_ = None{};
    return v;
  }

  bool is_undefined() const { return std::holds_alternative<Undefined>(rep_); }
  bool is_none() const { return std::holds_alternative<None>(rep_); }
  bool is_bool() const { return std::holds_alternative<bool>(rep_); }
  bool is_int() const { return std::holds_alternative<int64_t>(rep_); }
  bool is_float() const { return std::holds_alternative<double>(rep_); }
  // As in Python, a bool is a number, too.
  bool is_number() const { return is_bool() || is_int() || is_float(); }
  const uint64_t* big_int() const { return std::get_if<uint64_t>(&rep_); }
  const std::string* string() const { return Shared<const std::string>(); }
  const List* list() const { return Shared<const List>(); }
  const Dict* dict() const { return Shared<const Dict>(); }
  const LoopState* loop() const { return Shared<const LoopState>(); }
  const Callable* callable() const { return Shared<const Callable>(); }
  const Namespace* name_space() const { return std::get_if<Namespace>(&rep_); }

  // Meaningful when is_number(); AsInt truncates.
  double AsDouble() const;
  int64_t AsInt() const;

  // Python's bool(value).
  bool Truthy() const;
  // 0 for a scalar, 1 + the deepest item for a container, kNotData as above.
  int depth() const { return depth_; }
  // "int", "str", ... for messages.
  absl::string_view TypeName() const;

 private:
  template <typename T>
  const T* Shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&rep_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace,
               std::shared_ptr<const LoopState>, std::shared_ptr<const Callable>, uint64_t>
      rep_;
  int depth_ = 0;
};

// A map from strings in insertion order. Look-up is linear below 16 entries and indexed above.
class Dict {
 public:
  const Value* Find(absl::string_view key) const;  // nullptr: no such key
  void Set(absl::string_view key, Value value);
  const std::vector<std::pair<std::string, Value>>& entries() const { return entries_; }

 private:
  size_t IndexOf(absl::string_view key) const;  // entries_.size(): no such key
  std::vector<std::pair<std::string, Value>> entries_;
  std::vector<size_t> sorted_;  // indices by key, when there are many
};

// `loop` inside a for.
struct LoopState {
  std::shared_ptr<const List> items;
  size_t index = 0;
};

// Python's ==, deep; numbers compare by value, so True == 1.
bool Equal(const Value& a, const Value& b);

// Python's str(value); "" for undefined. `repr` quotes strings.
std::string ToText(const Value& value);
std::string ToRepr(const Value& value);

// json.dumps(value, ensure_ascii=False); indent < 0 is none. InvalidArgument for what JSON does not
// have.
absl::Status AppendJson(const Value& value, int indent, std::string& out);

// InvalidArgument for what is not JSON.
absl::StatusOr<Value> FromJson(const OrderedJson& json);

// Python's repr(float): the shortest digits that read back, "1.0", "1e-07", "1e+16".
std::string FloatText(double value);

}  // namespace oneai::models::jinja
