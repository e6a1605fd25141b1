// File: models/chat_template/interpreter.h
//
// Evaluates a parsed template. Everything it may spend is bounded: steps, bytes made, bytes
// written, call depth.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/chat_template/syntax.h"
#include "models/chat_template/value.h"

namespace oneai::models::jinja {

// Bounds of one rendering; exceeding one is ResourceExhausted.
struct RenderLimits {
  int64_t steps_max = 5'000'000;       // expressions and statements evaluated
  int64_t bytes_made_max = 256 << 20;  // of all strings and lists computed on the way
  int64_t output_bytes_max = 16 << 20;
  int call_depth_max = 32;
};

// Variables of a block; look-up goes on in the enclosing scope. Shared because a macro keeps the
// scope it was defined in.
struct Scope {
  std::shared_ptr<Scope> parent;
  absl::flat_hash_map<std::string, Value> variables;
};

// Evaluated arguments of a call.
struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;

  // The argument at `position` or named `name`; nullptr when not given.
  const Value* Find(size_t position, absl::string_view name) const;
};

// Something that can be called: a macro, a method of a value, or a function by name.
struct Callable {
  const Stmt* macro = nullptr;
  std::shared_ptr<Scope> scope;  // of the macro
  std::string name;
  Value self;  // of a method
  bool is_method = false;
};

// What filters, tests, methods and functions may use. One per rendering; not thread-safe.
class Budget {
 public:
  explicit Budget(const RenderLimits& limits) : limits_(limits) {}
  absl::Status Step(int64_t steps = 1);
  absl::Status Make(int64_t bytes);
  const RenderLimits& limits() const { return limits_; }

 private:
  const RenderLimits limits_;
  int64_t steps_ = 0, bytes_ = 0;
};

// Formats the current time for strftime_now().
using TimeFormatter = std::function<std::string(absl::string_view format)>;

// Renders `block` with the given global variables. InvalidArgument: a type error, an undefined
// value that is used, or raise_exception(), whose message comes with kRaisedPrefix before it.
absl::StatusOr<std::string> Render(const Block& block,
                                   absl::flat_hash_map<std::string, Value> globals,
                                   const TimeFormatter& time, const RenderLimits& limits);

inline constexpr absl::string_view kRaisedPrefix = "the chat template refuses these messages: ";

// --- builtins.cc, builtin_filters.cc: pure functions of their arguments
// ---------------------------------------

// The items that a `for` visits: of a list, keys of a map, characters of a string; nothing for
// undefined.
absl::StatusOr<List> Iterate(const Value& value, Budget& budget);
absl::StatusOr<bool> Contains(const Value& container, const Value& item, Budget& budget);
absl::StatusOr<Value> Binary(absl::string_view op, const Value& a, const Value& b, Budget& budget);
// <0, 0, >0; InvalidArgument for values without an order.
absl::StatusOr<int> Order(const Value& a, const Value& b);
absl::StatusOr<Value> Slice(const Value& value, const Value& begin, const Value& end,
                            const Value& step, Budget& budget);
absl::StatusOr<int64_t> LengthOf(const Value& value);

absl::StatusOr<Value> ApplyFilter(absl::string_view name, const Value& value,
                                  const CallArguments& arguments, Budget& budget);
absl::StatusOr<bool> ApplyTest(absl::string_view name, const Value& value,
                               const CallArguments& arguments);

// Whether values of this kind have a method of that name.
bool HasMethod(const Value& self, absl::string_view name);
absl::StatusOr<Value> CallMethod(const Value& self, absl::string_view name,
                                 const CallArguments& arguments, Budget& budget);

// value.name as Jinja resolves it for data (no methods): a key, an attribute of loop or namespace,
// or undefined.
Value AttributeOf(const Value& value, absl::string_view name);

}  // namespace oneai::models::jinja
