#include "models/chat_template/interpreter.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models::jinja {
namespace {

// With every kind of nesting in the largest frame, some 2 MB of stack.
constexpr int kEvalDepthMax = 1000;

enum class Flow { kNext, kBreak, kContinue };

absl::Status TypeError(absl::string_view message) { return absl::InvalidArgumentError(message); }

class Interpreter {
 public:
  Interpreter(absl::flat_hash_map<std::string, Value> globals, const TimeFormatter& time,
              const RenderLimits& limits)
      : budget_(limits), time_(time), scope_(std::make_shared<Scope>()) {
    scope_->variables = std::move(globals);
  }

  absl::StatusOr<std::string> Run(const Block& block) {
    ASSIGN_OR_RETURN([[maybe_unused]] Flow flow, Execute(block));
    return std::move(output_);
  }

 private:
  // Swaps in another scope for its lifetime.
  class Scoped {
   public:
    Scoped(Interpreter& in, std::shared_ptr<Scope> parent)
        : in_(in),
          saved_(std::exchange(in.scope_, std::make_shared<Scope>(Scope{std::move(parent), {}}))) {}
    ~Scoped() { in_.scope_ = std::move(saved_); }

   private:
    Interpreter& in_;
    std::shared_ptr<Scope> saved_;
  };

  // Errors made inside a statement get its line, once: the innermost statement is nearest.
  static absl::Status AtLine(absl::Status status, int line) {
    if (status.code() != absl::StatusCode::kInvalidArgument ||
        absl::StartsWith(status.message(), kRaisedPrefix) ||
        absl::StartsWith(status.message(), "template line "))
      return status;
    return absl::InvalidArgumentError(absl::StrCat("template line ", line, ": ", status.message()));
  }

  // Bounds the use of the stack: expressions, blocks and macros recurse together.
  class Nested {
   public:
    explicit Nested(Interpreter& in) : in_(in) { ++in_.depth_; }
    ~Nested() { --in_.depth_; }
    absl::Status Check() const {
      return in_.depth_ <= kEvalDepthMax
                 ? absl::OkStatus()
                 : absl::ResourceExhaustedError("the chat template is nested too deep");
    }

   private:
    Interpreter& in_;
  };

  absl::StatusOr<Flow> Execute(const Block& block) {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    for (const auto& stmt : block) {
      RETURN_IF_ERROR(budget_.Step());
      absl::StatusOr<Flow> flow = ExecuteOne(*stmt);
      if (!flow.ok()) return AtLine(flow.status(), stmt->line);
      if (*flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  absl::StatusOr<Flow> ExecuteOne(const Stmt& stmt) {
    switch (stmt.kind) {
      case Stmt::Kind::kText:
        RETURN_IF_ERROR(Write(stmt.text));
        return Flow::kNext;
      case Stmt::Kind::kPrint: {
        ASSIGN_OR_RETURN(Value value, Eval(*stmt.expr));
        if (const std::string* text = value.string()) {
          RETURN_IF_ERROR(Write(*text));
        } else {
          RETURN_IF_ERROR(Write(ToText(value)));
        }
        return Flow::kNext;
      }
      case Stmt::Kind::kIf:
        for (const Branch& branch : stmt.branches) {
          bool taken = branch.condition == nullptr;
          if (!taken) {
            ASSIGN_OR_RETURN(Value condition, Eval(*branch.condition));
            taken = condition.Truthy();
          }
          if (taken) return Execute(branch.body);
        }
        return Flow::kNext;
      case Stmt::Kind::kFor:
        return ExecuteFor(stmt);
      case Stmt::Kind::kSet:
        RETURN_IF_ERROR(ExecuteSet(stmt));
        return Flow::kNext;
      case Stmt::Kind::kSetBlock: {
        ASSIGN_OR_RETURN(Value text, Capture(stmt.body));
        scope_->variables[stmt.targets[0]] = std::move(text);
        return Flow::kNext;
      }
      case Stmt::Kind::kMacro:
        scope_->variables[stmt.text] = Value(std::make_shared<const Callable>(
            Callable{.macro = &stmt, .scope = scope_, .name = stmt.text}));
        macro_scopes_.push_back(scope_);
        return Flow::kNext;
      case Stmt::Kind::kBreak:
        return Flow::kBreak;
      case Stmt::Kind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNext;
  }

  absl::Status Write(absl::string_view text) {
    if (static_cast<int64_t>(output_.size() + text.size()) > budget_.limits().output_bytes_max)
      return absl::ResourceExhaustedError(absl::StrCat(
          "the chat template writes more than ", budget_.limits().output_bytes_max, " bytes"));
    absl::StrAppend(&output_, text);
    return absl::OkStatus();
  }

  // Runs `body` with its output going into the returned string.
  absl::StatusOr<Value> Capture(const Block& body) {
    std::string saved = std::exchange(output_, "");
    absl::StatusOr<Flow> flow = Execute(body);
    std::string text = std::exchange(output_, std::move(saved));
    if (!flow.ok()) return flow.status();
    RETURN_IF_ERROR(budget_.Make(static_cast<int64_t>(text.size())));
    return Value(std::move(text));
  }

  absl::Status Bind(const std::vector<std::string>& targets, const Value& value) {
    if (targets.size() == 1) {
      scope_->variables[targets[0]] = value;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(List items, Iterate(value, budget_));
    if (items.size() != targets.size())
      return TypeError(
          absl::StrCat("cannot unpack ", items.size(), " values into ", targets.size()));
    for (size_t i = 0; i < items.size(); ++i) scope_->variables[targets[i]] = items[i];
    return absl::OkStatus();
  }

  absl::StatusOr<Flow> ExecuteFor(const Stmt& stmt) {
    ASSIGN_OR_RETURN(Value iterated, Eval(*stmt.expr));
    ASSIGN_OR_RETURN(List items, Iterate(iterated, budget_));
    if (stmt.condition != nullptr) {  // filtered first, so that loop.length counts what is visited
      List kept;
      for (Value& item : items) {
        Scoped scoped(*this, scope_);
        RETURN_IF_ERROR(Bind(stmt.targets, item));
        ASSIGN_OR_RETURN(Value condition, Eval(*stmt.condition));
        if (condition.Truthy()) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty()) {
      Scoped scoped(*this, scope_);
      return Execute(stmt.otherwise);
    }
    const auto shared = std::make_shared<const List>(std::move(items));
    for (size_t i = 0; i < shared->size(); ++i) {
      RETURN_IF_ERROR(budget_.Step());
      Scoped scoped(*this, scope_);  // a new one each time: assignments do not outlive an iteration
      scope_->variables["loop"] = Value(std::make_shared<const LoopState>(LoopState{shared, i}));
      RETURN_IF_ERROR(Bind(stmt.targets, (*shared)[i]));
      ASSIGN_OR_RETURN(Flow flow, Execute(stmt.body));
      if (flow == Flow::kBreak) break;
    }
    return Flow::kNext;
  }

  absl::Status ExecuteSet(const Stmt& stmt) {
    ASSIGN_OR_RETURN(Value value, Eval(*stmt.expr));
    if (stmt.attribute.empty()) return Bind(stmt.targets, value);
    const Value target = Lookup(stmt.targets[0]);
    if (target.name_space() == nullptr)
      return TypeError(
          absl::StrCat("'", stmt.targets[0], "' is not a namespace: its attributes cannot be set"));
    RETURN_IF_ERROR(CheckNesting(value));
    target.name_space()->attributes->Set(stmt.attribute, std::move(value));
    return absl::OkStatus();
  }

  Value Lookup(absl::string_view name) const {
    for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get())
      if (auto it = scope->variables.find(name); it != scope->variables.end()) return it->second;
    for (absl::string_view function :
         {"namespace", "raise_exception", "strftime_now", "range", "dict"})
      if (name == function)
        return Value(std::make_shared<const Callable>(Callable{.name = std::string(name)}));
    return Value();
  }

  absl::StatusOr<Value> Eval(const Expr& expr) {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    RETURN_IF_ERROR(budget_.Step());
    switch (expr.kind) {
      case Expr::Kind::kConstant:
        return expr.constant;
      case Expr::Kind::kName:
        return Lookup(expr.text);
      case Expr::Kind::kList:
        return EvalList(expr);
      case Expr::Kind::kDict:
        return EvalDict(expr);
      case Expr::Kind::kAttribute:
        return EvalAttribute(expr);
      case Expr::Kind::kItem:
        return EvalItem(expr);
      case Expr::Kind::kSlice:
        return EvalSlice(expr);
      case Expr::Kind::kCall:
        return EvalCall(expr);
      case Expr::Kind::kFilter: {
        ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
        ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(expr));
        return ApplyFilter(expr.text, value, arguments, budget_);
      }
      case Expr::Kind::kTest: {
        ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
        ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(expr));
        ASSIGN_OR_RETURN(bool result, ApplyTest(expr.text, value, arguments));
        return Value(result);
      }
      case Expr::Kind::kNot: {
        ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
        return Value(!value.Truthy());
      }
      case Expr::Kind::kNegate:
      case Expr::Kind::kPlus: {
        ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
        if (!value.is_number())
          return TypeError(absl::StrCat("bad operand of type ", value.TypeName()));
        return Binary(expr.kind == Expr::Kind::kNegate ? "-" : "+", Value(int64_t{0}), value,
                      budget_);
      }
      case Expr::Kind::kAnd:
      case Expr::Kind::kOr: {
        ASSIGN_OR_RETURN(Value left, Eval(*expr.operands[0]));
        if (left.Truthy() == (expr.kind == Expr::Kind::kOr)) return left;
        return Eval(*expr.operands[1]);
      }
      case Expr::Kind::kBinary: {
        ASSIGN_OR_RETURN(Value left, Eval(*expr.operands[0]));
        ASSIGN_OR_RETURN(Value right, Eval(*expr.operands[1]));
        return Binary(expr.text, left, right, budget_);
      }
      case Expr::Kind::kCompare:
        return EvalCompare(expr);
      case Expr::Kind::kConditional: {
        ASSIGN_OR_RETURN(Value condition, Eval(*expr.operands[1]));
        if (condition.Truthy()) return Eval(*expr.operands[0]);
        return expr.operands[2] != nullptr ? Eval(*expr.operands[2]) : Value();
      }
    }
    return Value();
  }

  absl::StatusOr<Value> EvalList(const Expr& expr) {
    List list;
    for (const ExprPtr& item : expr.operands) {
      ASSIGN_OR_RETURN(Value value, Eval(*item));
      RETURN_IF_ERROR(CheckNesting(value));
      list.push_back(std::move(value));
    }
    RETURN_IF_ERROR(budget_.Make(static_cast<int64_t>(list.size() * sizeof(Value))));
    return Value(std::move(list));
  }

  absl::StatusOr<Value> EvalDict(const Expr& expr) {
    Dict dict;
    for (size_t i = 0; i + 1 < expr.operands.size(); i += 2) {
      ASSIGN_OR_RETURN(Value key, Eval(*expr.operands[i]));
      ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[i + 1]));
      if (key.string() == nullptr) return TypeError("keys of a map must be strings");
      RETURN_IF_ERROR(CheckNesting(value));
      dict.Set(*key.string(), std::move(value));
    }
    RETURN_IF_ERROR(budget_.Make(static_cast<int64_t>(dict.entries().size() * sizeof(Value))));
    return Value(std::move(dict));
  }

  // A loop of `set x = [x]` would otherwise nest without bound, and comparing or printing recurses.
  static absl::Status CheckNesting(const Value& value) {
    if (value.depth() < kValueDepthMax) return absl::OkStatus();
    return TypeError(absl::StrCat(
        "a value of type ", value.TypeName(),
        value.depth() == kNotData ? " cannot be stored in another value" : " is nested too deep"));
  }

  absl::StatusOr<Value> EvalAttribute(const Expr& expr) {
    ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
    if (value.is_undefined())
      return TypeError(absl::StrCat("'", Describe(*expr.operands[0]), "' is undefined; it has no '",
                                    expr.text, "'"));
    // Attributes of the object win over keys of a map, as in Python: `x.items` is the method.
    if (HasMethod(value, expr.text))
      return Value(std::make_shared<const Callable>(
          Callable{.name = expr.text, .self = std::move(value), .is_method = true}));
    return AttributeOf(value, expr.text);
  }

  absl::StatusOr<Value> EvalItem(const Expr& expr) {
    ASSIGN_OR_RETURN(Value value, Eval(*expr.operands[0]));
    ASSIGN_OR_RETURN(Value key, Eval(*expr.operands[1]));
    if (value.is_undefined())
      return TypeError(
          absl::StrCat("'", Describe(*expr.operands[0]), "' is undefined; it has no items"));
    if (key.string() != nullptr) return AttributeOf(value, *key.string());
    if (!key.is_number() || key.is_float()) return Value();
    ASSIGN_OR_RETURN(int64_t length,
                     value.list() || value.string() ? LengthOf(value) : absl::StatusOr<int64_t>(0));
    const int64_t index = key.AsInt() < 0 ? key.AsInt() + length : key.AsInt();
    if (index < 0 || index >= length) return Value();
    if (const List* list = value.list()) return (*list)[index];
    ASSIGN_OR_RETURN(Value one,
                     Slice(value, Value(index), Value(index + 1), Value::MakeNone(), budget_));
    return one;
  }

  absl::StatusOr<Value> EvalSlice(const Expr& expr) {
    Value parts[4];
    for (int i = 0; i < 4; ++i) {
      parts[i] = Value::MakeNone();
      if (expr.operands[i] == nullptr) continue;
      ASSIGN_OR_RETURN(parts[i], Eval(*expr.operands[i]));
    }
    return Slice(parts[0], parts[1], parts[2], parts[3], budget_);
  }

  absl::StatusOr<Value> EvalCompare(const Expr& expr) {
    ASSIGN_OR_RETURN(Value left, Eval(*expr.operands[0]));
    ASSIGN_OR_RETURN(Value right, Eval(*expr.operands[1]));
    const std::string& op = expr.text;
    if (op == "==") return Value(Equal(left, right));
    if (op == "!=") return Value(!Equal(left, right));
    if (op == "in" || op == "not in") {
      ASSIGN_OR_RETURN(bool found, Contains(right, left, budget_));
      return Value(found == (op == "in"));
    }
    ASSIGN_OR_RETURN(int order, Order(left, right));
    return Value(op == "<"    ? order < 0
                 : op == "<=" ? order <= 0
                 : op == ">"  ? order > 0
                              : order >= 0);
  }

  absl::StatusOr<CallArguments> EvalArguments(const Expr& expr) {
    CallArguments arguments;
    for (const Argument& argument : expr.arguments) {
      ASSIGN_OR_RETURN(Value value, Eval(*argument.value));
      if (argument.keyword.empty()) {
        arguments.positional.push_back(std::move(value));
      } else {
        arguments.keyword.emplace_back(argument.keyword, std::move(value));
      }
    }
    return arguments;
  }

  absl::StatusOr<Value> EvalCall(const Expr& expr) {
    ASSIGN_OR_RETURN(Value function, Eval(*expr.operands[0]));
    const Callable* callable = function.callable();
    if (callable == nullptr)
      return TypeError(absl::StrCat("'", Describe(*expr.operands[0]), "' is ", function.TypeName(),
                                    " and cannot be called"));
    ASSIGN_OR_RETURN(CallArguments arguments, EvalArguments(expr));
    if (callable->macro != nullptr) return CallMacro(*callable, arguments);
    if (callable->is_method) return CallMethod(callable->self, callable->name, arguments, budget_);
    return CallFunction(callable->name, arguments);
  }

  absl::StatusOr<Value> CallMacro(const Callable& callable, const CallArguments& arguments) {
    const Stmt& macro = *callable.macro;
    if (arguments.positional.size() > macro.parameters.size())
      return TypeError(
          absl::StrCat("macro '", macro.text, "' takes ", macro.parameters.size(), " arguments"));
    for (const auto& [name, value] : arguments.keyword) {
      bool known = false;
      for (const Parameter& parameter : macro.parameters) known = known || parameter.name == name;
      if (!known)
        return TypeError(absl::StrCat("macro '", macro.text, "' has no argument '", name, "'"));
    }
    if (++call_depth_ > budget_.limits().call_depth_max)
      return absl::ResourceExhaustedError(absl::StrCat(
          "the chat template calls macros deeper than ", budget_.limits().call_depth_max));
    Scoped scoped(*this, callable.scope);
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      const Parameter& parameter = macro.parameters[i];
      Value value;
      if (const Value* given = arguments.Find(i, parameter.name)) {
        value = *given;
      } else if (parameter.fallback != nullptr) {
        ASSIGN_OR_RETURN(value, Eval(*parameter.fallback));
      }
      scope_->variables[parameter.name] = std::move(value);
    }
    absl::StatusOr<Value> result = Capture(macro.body);
    --call_depth_;
    return result;
  }

  absl::StatusOr<Value> CallFunction(absl::string_view name, const CallArguments& arguments) {
    const Value* first = arguments.Find(0, "");
    if (name == "raise_exception")
      return TypeError(absl::StrCat(kRaisedPrefix, first == nullptr ? "" : ToText(*first)));
    if (name == "strftime_now") {
      if (first == nullptr || first->string() == nullptr)
        return TypeError("strftime_now takes a format");
      return Value(time_(*first->string()));
    }
    if (name == "range") return Range(arguments);
    // namespace(...) and dict(...)
    Dict dict;
    if (first != nullptr && first->dict() != nullptr) dict = *first->dict();
    for (const auto& [key, value] : arguments.keyword) {
      RETURN_IF_ERROR(CheckNesting(value));
      dict.Set(key, value);
    }
    if (name == "dict") return Value(std::move(dict));
    return Value(Namespace{std::make_shared<Dict>(std::move(dict))});
  }

  absl::StatusOr<Value> Range(const CallArguments& arguments) {
    int64_t parts[3] = {0, 0, 1};
    const size_t count = arguments.positional.size();
    if (count < 1 || count > 3) return TypeError("range takes one to three integers");
    for (size_t i = 0; i < count; ++i) {
      const Value& value = arguments.positional[i];
      if (!value.is_number() || value.is_float()) return TypeError("range takes integers");
      parts[count == 1 ? 1 : i] = value.AsInt();
    }
    if (parts[2] == 0) return TypeError("range step must not be 0");
    List list;
    for (int64_t i = parts[0]; parts[2] > 0 ? i < parts[1] : i > parts[1];) {
      RETURN_IF_ERROR(budget_.Make(sizeof(Value)));
      list.push_back(Value(i));
      if (__builtin_add_overflow(i, parts[2], &i)) break;
    }
    return Value(std::move(list));
  }

  // How a message names an expression.
  static std::string Describe(const Expr& expr) {
    if (expr.kind == Expr::Kind::kName) return expr.text;
    if (expr.kind == Expr::Kind::kAttribute)
      return absl::StrCat(Describe(*expr.operands[0]), ".", expr.text);
    if (expr.kind == Expr::Kind::kItem) return absl::StrCat(Describe(*expr.operands[0]), "[...]");
    return "the value";
  }

 public:
  // A macro holds its scope and the scope holds the macro: emptying the scopes ends the cycle.
  ~Interpreter() {
    for (const auto& scope : macro_scopes_) scope->variables.clear();
  }

 private:
  Budget budget_;
  const TimeFormatter& time_;
  std::shared_ptr<Scope> scope_;
  std::vector<std::shared_ptr<Scope>> macro_scopes_;
  std::string output_;
  int call_depth_ = 0;
  int depth_ = 0;
};

}  // namespace

const Value* CallArguments::Find(size_t position, absl::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [key, value] : keyword)
    if (!name.empty() && key == name) return &value;
  return nullptr;
}

absl::Status Budget::Step(int64_t steps) {
  steps_ += steps;
  return steps_ <= limits_.steps_max
             ? absl::OkStatus()
             : absl::ResourceExhaustedError(
                   absl::StrCat("the chat template takes more than ", limits_.steps_max, " steps"));
}

absl::Status Budget::Make(int64_t bytes) {
  bytes_ += bytes;
  return bytes_ <= limits_.bytes_made_max ? absl::OkStatus()
                                          : absl::ResourceExhaustedError(absl::StrCat(
                                                "the chat template computes more than ",
                                                limits_.bytes_made_max, " bytes of values"));
}

absl::StatusOr<std::string> Render(const Block& block,
                                   absl::flat_hash_map<std::string, Value> globals,
                                   const TimeFormatter& time, const RenderLimits& limits) {
  return Interpreter(std::move(globals), time, limits).Run(block);
}

}  // namespace oneai::models::jinja
