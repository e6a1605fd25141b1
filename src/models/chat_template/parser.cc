// Recursive descent over the token list, one function per level of precedence.
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/chat_template/lexer.h"
#include "models/chat_template/syntax.h"

namespace oneai::models::jinja {
namespace {

constexpr int kNestingMax = 64;

using Kind = Expr::Kind;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<Block> Run() {
    ASSIGN_OR_RETURN(Block block, ParseBlock({}));
    return block;
  }

 private:
  // Counts nesting for its lifetime; every recursive function holds one.
  class Nested {
   public:
    explicit Nested(Parser& parser) : parser_(parser) { ++parser_.nesting_; }
    ~Nested() { --parser_.nesting_; }
    absl::Status Check() const {
      return parser_.nesting_ > kNestingMax
                 ? parser_.Error(absl::StrCat("nested deeper than ", kNestingMax))
                 : absl::OkStatus();
    }

   private:
    Parser& parser_;
  };

  const Token& Peek() const { return tokens_[at_]; }
  Token Take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool AtOp(absl::string_view op) const {
    return Peek().kind == Token::Kind::kOp && Peek().text == op;
  }
  bool AtName(absl::string_view name) const {
    return Peek().kind == Token::Kind::kName && Peek().text == name;
  }
  bool TakeOp(absl::string_view op) { return AtOp(op) && (++at_, true); }
  bool TakeName(absl::string_view name) { return AtName(name) && (++at_, true); }
  absl::Status Error(absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat("template line ", Peek().line, ": ", message));
  }
  absl::Status Unsupported(absl::string_view message) const {
    return absl::UnimplementedError(
        absl::StrCat("template line ", Peek().line, ": ", message, " is not supported"));
  }
  std::string Found() const {
    switch (Peek().kind) {
      case Token::Kind::kEnd:
        return "the end of the template";
      case Token::Kind::kBlockEnd:
        return "'%}'";
      case Token::Kind::kPrintEnd:
        return "'}}'";
      default:
        return absl::StrCat("'", Peek().text.substr(0, 40), "'");
    }
  }
  absl::Status ExpectOp(absl::string_view op) {
    return TakeOp(op) ? absl::OkStatus()
                      : Error(absl::StrCat("expected '", op, "', found ", Found()));
  }
  absl::Status ExpectBlockEnd() {
    if (Peek().kind != Token::Kind::kBlockEnd)
      return Error(absl::StrCat("expected '%}', found ", Found()));
    ++at_;
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> ExpectName() {
    if (Peek().kind != Token::Kind::kName)
      return Error(absl::StrCat("expected a name, found ", Found()));
    return Take().text;
  }
  ExprPtr Make(Kind kind, std::string text = "") const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = Peek().line;
    expr->text = std::move(text);
    return expr;
  }
  ExprPtr Make(Kind kind, std::string text, ExprPtr a, ExprPtr b = nullptr) const {
    ExprPtr expr = Make(kind, std::move(text));
    expr->line = a->line;
    expr->operands.push_back(std::move(a));
    if (b != nullptr) expr->operands.push_back(std::move(b));
    return expr;
  }
  ExprPtr Constant(Value value) const {
    ExprPtr expr = Make(Kind::kConstant);
    expr->constant = std::move(value);
    return expr;
  }
  std::unique_ptr<Stmt> MakeStmt(Stmt::Kind kind) const {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = Peek().line;
    return stmt;
  }

  // --- statements
  // ---------------------------------------------------------------------------------------

  // Statements up to a block tag named in `ends`, whose name is left as the current token.
  absl::StatusOr<Block> ParseBlock(std::vector<absl::string_view> ends) {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    Block block;
    while (true) {
      switch (Peek().kind) {
        case Token::Kind::kText: {
          auto stmt = MakeStmt(Stmt::Kind::kText);
          stmt->text = Take().text;
          block.push_back(std::move(stmt));
          continue;
        }
        case Token::Kind::kPrintBegin: {
          ++at_;
          auto stmt = MakeStmt(Stmt::Kind::kPrint);
          ASSIGN_OR_RETURN(stmt->expr, ParseTuple());
          if (Peek().kind != Token::Kind::kPrintEnd)
            return Error(absl::StrCat("expected '}}', found ", Found()));
          ++at_;
          block.push_back(std::move(stmt));
          continue;
        }
        case Token::Kind::kBlockBegin:
          ++at_;
          break;
        default:
          if (ends.empty()) return block;
          return Error(absl::StrCat("'{% ", ends.back(), " %}' is missing"));
      }
      for (absl::string_view end : ends)
        if (AtName(end)) return block;
      ASSIGN_OR_RETURN(auto stmt, ParseTag());
      if (stmt != nullptr) block.push_back(std::move(stmt));
    }
  }

  absl::StatusOr<std::unique_ptr<Stmt>> ParseTag() {
    ASSIGN_OR_RETURN(std::string tag, ExpectName());
    if (tag == "if") return ParseIf();
    if (tag == "for") return ParseFor();
    if (tag == "set") return ParseSet();
    if (tag == "macro") return ParseMacro();
    if (tag == "break" || tag == "continue") {
      if (loop_nesting_ == 0) return Error(absl::StrCat("'", tag, "' outside a loop"));
      RETURN_IF_ERROR(ExpectBlockEnd());
      return MakeStmt(tag == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue);
    }
    // Marks the assistant's tokens for training masks (transformers); the text is the same without.
    if (tag == "generation" || tag == "endgeneration") {
      RETURN_IF_ERROR(ExpectBlockEnd());
      return nullptr;
    }
    for (absl::string_view known : {"include", "import", "from", "extends", "block", "call",
                                    "filter", "with", "autoescape", "do", "trans"})
      if (tag == known) return Unsupported(absl::StrCat("the tag '", tag, "'"));
    return Error(absl::StrCat("unknown or misplaced tag '", tag, "'"));
  }

  absl::StatusOr<std::unique_ptr<Stmt>> ParseIf() {
    auto stmt = MakeStmt(Stmt::Kind::kIf);
    while (true) {
      Branch branch;
      ASSIGN_OR_RETURN(branch.condition, ParseExpression());
      RETURN_IF_ERROR(ExpectBlockEnd());
      ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
      stmt->branches.push_back(std::move(branch));
      if (TakeName("elif")) continue;
      if (TakeName("else")) {
        RETURN_IF_ERROR(ExpectBlockEnd());
        Branch otherwise;
        ASSIGN_OR_RETURN(otherwise.body, ParseBlock({"endif"}));
        stmt->branches.push_back(std::move(otherwise));
      }
      ++at_;  // endif
      RETURN_IF_ERROR(ExpectBlockEnd());
      return stmt;
    }
  }

  absl::StatusOr<std::vector<std::string>> ParseTargets() {
    std::vector<std::string> targets;
    const bool parenthesis = TakeOp("(");
    do {
      ASSIGN_OR_RETURN(std::string name, ExpectName());
      targets.push_back(std::move(name));
    } while (TakeOp(","));
    if (parenthesis) RETURN_IF_ERROR(ExpectOp(")"));
    return targets;
  }

  absl::StatusOr<std::unique_ptr<Stmt>> ParseFor() {
    auto stmt = MakeStmt(Stmt::Kind::kFor);
    ASSIGN_OR_RETURN(stmt->targets, ParseTargets());
    if (!TakeName("in")) return Error(absl::StrCat("expected 'in', found ", Found()));
    ASSIGN_OR_RETURN(stmt->expr, ParseOr());  // `if` here begins the filter, not a conditional
    if (TakeName("if")) {
      ASSIGN_OR_RETURN(stmt->condition, ParseExpression());
    }
    if (AtName("recursive")) return Unsupported("'recursive'");
    RETURN_IF_ERROR(ExpectBlockEnd());
    ++loop_nesting_;
    absl::StatusOr<Block> body = ParseBlock({"else", "endfor"});
    --loop_nesting_;
    ASSIGN_OR_RETURN(stmt->body, std::move(body));
    if (TakeName("else")) {
      RETURN_IF_ERROR(ExpectBlockEnd());
      ASSIGN_OR_RETURN(stmt->otherwise, ParseBlock({"endfor"}));
    }
    ++at_;  // endfor
    RETURN_IF_ERROR(ExpectBlockEnd());
    return stmt;
  }

  absl::StatusOr<std::unique_ptr<Stmt>> ParseSet() {
    auto stmt = MakeStmt(Stmt::Kind::kSet);
    ASSIGN_OR_RETURN(stmt->targets, ParseTargets());
    if (stmt->targets.size() == 1 && TakeOp(".")) {
      ASSIGN_OR_RETURN(stmt->attribute, ExpectName());
    }
    if (TakeOp("=")) {
      ASSIGN_OR_RETURN(stmt->expr, ParseTuple());
      RETURN_IF_ERROR(ExpectBlockEnd());
      return stmt;
    }
    if (AtOp("|")) return Unsupported("a filter on a block set");
    if (stmt->targets.size() != 1 || !stmt->attribute.empty())
      return Error(absl::StrCat("expected '=', found ", Found()));
    stmt->kind = Stmt::Kind::kSetBlock;
    RETURN_IF_ERROR(ExpectBlockEnd());
    const int loops = std::exchange(loop_nesting_, 0);  // `break` does not leave it half done
    absl::StatusOr<Block> body = ParseBlock({"endset"});
    loop_nesting_ = loops;
    ASSIGN_OR_RETURN(stmt->body, std::move(body));
    ++at_;
    RETURN_IF_ERROR(ExpectBlockEnd());
    return stmt;
  }

  absl::StatusOr<std::unique_ptr<Stmt>> ParseMacro() {
    auto stmt = MakeStmt(Stmt::Kind::kMacro);
    ASSIGN_OR_RETURN(stmt->text, ExpectName());
    RETURN_IF_ERROR(ExpectOp("("));
    while (!AtOp(")")) {
      Parameter parameter;
      ASSIGN_OR_RETURN(parameter.name, ExpectName());
      if (TakeOp("=")) {
        ASSIGN_OR_RETURN(parameter.fallback, ParseExpression());
      }
      stmt->parameters.push_back(std::move(parameter));
      if (!TakeOp(",")) break;
    }
    RETURN_IF_ERROR(ExpectOp(")"));
    RETURN_IF_ERROR(ExpectBlockEnd());
    const int loops = std::exchange(loop_nesting_, 0);  // `break` does not cross a macro
    absl::StatusOr<Block> body = ParseBlock({"endmacro"});
    loop_nesting_ = loops;
    ASSIGN_OR_RETURN(stmt->body, std::move(body));
    ++at_;
    if (Peek().kind == Token::Kind::kName) ++at_;  // `endmacro name`
    RETURN_IF_ERROR(ExpectBlockEnd());
    return stmt;
  }

  // --- expressions, loosest binding first
  // -----------------------------------------------------------------

  absl::StatusOr<ExprPtr> ParseTuple() {
    ASSIGN_OR_RETURN(ExprPtr first, ParseExpression());
    if (!AtOp(",")) return first;
    ExprPtr tuple = Make(Kind::kList);
    tuple->operands.push_back(std::move(first));
    while (TakeOp(",")) {
      if (Peek().kind == Token::Kind::kBlockEnd || Peek().kind == Token::Kind::kPrintEnd ||
          AtOp(")"))
        break;
      ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
      tuple->operands.push_back(std::move(item));
    }
    return tuple;
  }

  absl::StatusOr<ExprPtr> ParseExpression() {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    ASSIGN_OR_RETURN(ExprPtr value, ParseOr());
    if (!TakeName("if")) return value;
    ASSIGN_OR_RETURN(ExprPtr condition, ParseOr());
    ExprPtr expr = Make(Kind::kConditional, "", std::move(value), std::move(condition));
    ExprPtr otherwise;
    if (TakeName("else")) {
      ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    expr->operands.push_back(std::move(otherwise));
    return expr;
  }

  // Chains are bounded, too: a left-deep tree is as deep as it is long.
  absl::Status CheckChain(int length) const {
    return length > 200 ? Error("expression is too long") : absl::OkStatus();
  }

  absl::StatusOr<ExprPtr> ParseOr() {
    ASSIGN_OR_RETURN(ExprPtr left, ParseAnd());
    for (int n = 0; TakeName("or"); ++n) {
      RETURN_IF_ERROR(CheckChain(n));
      ASSIGN_OR_RETURN(ExprPtr right, ParseAnd());
      left = Make(Kind::kOr, "", std::move(left), std::move(right));
    }
    return left;
  }

  absl::StatusOr<ExprPtr> ParseAnd() {
    ASSIGN_OR_RETURN(ExprPtr left, ParseNot());
    for (int n = 0; TakeName("and"); ++n) {
      RETURN_IF_ERROR(CheckChain(n));
      ASSIGN_OR_RETURN(ExprPtr right, ParseNot());
      left = Make(Kind::kAnd, "", std::move(left), std::move(right));
    }
    return left;
  }

  absl::StatusOr<ExprPtr> ParseNot() {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    if (!TakeName("not")) return ParseCompare();
    ASSIGN_OR_RETURN(ExprPtr operand, ParseNot());
    return Make(Kind::kNot, "", std::move(operand));
  }

  // "" when the current token is no comparison.
  std::string TakeComparison() {
    for (const char* op : {"==", "!=", "<=", ">=", "<", ">"})
      if (TakeOp(op)) return op;
    if (TakeName("in")) return "in";
    if (AtName("not") && at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == Token::Kind::kName &&
        tokens_[at_ + 1].text == "in") {
      at_ += 2;
      return "not in";
    }
    return "";
  }

  absl::StatusOr<ExprPtr> ParseCompare() {
    ASSIGN_OR_RETURN(ExprPtr left, ParseSum());
    std::string op = TakeComparison();
    if (op.empty()) return left;
    ASSIGN_OR_RETURN(ExprPtr right, ParseSum());
    ExprPtr expr = Make(Kind::kCompare, op, std::move(left), std::move(right));
    if (!TakeComparison().empty()) return Unsupported("a chain of comparisons");
    return expr;
  }

  using Level = absl::StatusOr<ExprPtr> (Parser::*)();

  absl::StatusOr<ExprPtr> ParseLeftAssociative(std::initializer_list<absl::string_view> ops,
                                               Level next) {
    ASSIGN_OR_RETURN(ExprPtr left, (this->*next)());
    for (int n = 0;; ++n) {
      absl::string_view found;
      for (absl::string_view op : ops)
        if (AtOp(op)) found = op;
      if (found.empty()) return left;
      RETURN_IF_ERROR(CheckChain(n));
      ++at_;
      ASSIGN_OR_RETURN(ExprPtr right, (this->*next)());
      left = Make(Kind::kBinary, std::string(found), std::move(left), std::move(right));
    }
  }

  absl::StatusOr<ExprPtr> ParseSum() {
    return ParseLeftAssociative({"+", "-"}, &Parser::ParseConcat);
  }
  absl::StatusOr<ExprPtr> ParseConcat() {
    return ParseLeftAssociative({"~"}, &Parser::ParseProduct);
  }
  absl::StatusOr<ExprPtr> ParseProduct() {
    return ParseLeftAssociative({"*", "/", "//", "%"}, &Parser::ParsePower);
  }
  absl::StatusOr<ExprPtr> ParsePower() { return ParseLeftAssociative({"**"}, &Parser::ParseUnary); }

  absl::StatusOr<ExprPtr> ParseUnary() {
    Nested nested(*this);
    RETURN_IF_ERROR(nested.Check());
    ExprPtr expr;
    if (AtOp("-") || AtOp("+")) {
      const Kind kind = Take().text == "-" ? Kind::kNegate : Kind::kPlus;
      ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary());
      expr = Make(kind, "", std::move(operand));
    } else {
      ASSIGN_OR_RETURN(expr, ParsePrimary());
    }
    return ParsePostfix(std::move(expr));
  }

  absl::StatusOr<ExprPtr> ParsePrimary() {
    const Token token = Take();
    switch (token.kind) {
      case Token::Kind::kName:
        if (token.text == "true" || token.text == "True") return Constant(Value(true));
        if (token.text == "false" || token.text == "False") return Constant(Value(false));
        if (token.text == "none" || token.text == "None") return Constant(Value::MakeNone());
        return Make(Kind::kName, token.text);
      case Token::Kind::kString: {
        std::string text = token.text;
        while (Peek().kind == Token::Kind::kString) text += Take().text;  // adjacent literals join
        return Constant(Value(std::move(text)));
      }
      case Token::Kind::kInt: {
        int64_t number = 0;
        const char* end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, number).ec != std::errc())
          return Error(absl::StrCat("integer ", token.text, " is too large"));
        return Constant(Value(number));
      }
      case Token::Kind::kFloat: {
        double number = 0;
        const char* end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, number).ec != std::errc())
          return Error(absl::StrCat("number ", token.text, " is out of range"));
        return Constant(Value(number));
      }
      default:
        break;
    }
    if (token.kind == Token::Kind::kOp && token.text == "(") {
      if (TakeOp(")")) return Make(Kind::kList);
      ASSIGN_OR_RETURN(ExprPtr inner, ParseTuple());
      RETURN_IF_ERROR(ExpectOp(")"));
      return inner;
    }
    if (token.kind == Token::Kind::kOp && token.text == "[") return ParseList();
    if (token.kind == Token::Kind::kOp && token.text == "{") return ParseDict();
    --at_;
    return Error(absl::StrCat("expected an expression, found ", Found()));
  }

  absl::StatusOr<ExprPtr> ParseList() {
    ExprPtr list = Make(Kind::kList);
    while (!AtOp("]")) {
      ASSIGN_OR_RETURN(ExprPtr item, ParseExpression());
      list->operands.push_back(std::move(item));
      if (!TakeOp(",")) break;
    }
    RETURN_IF_ERROR(ExpectOp("]"));
    return list;
  }

  absl::StatusOr<ExprPtr> ParseDict() {
    ExprPtr dict = Make(Kind::kDict);
    while (!AtOp("}")) {
      ASSIGN_OR_RETURN(ExprPtr key, ParseExpression());
      RETURN_IF_ERROR(ExpectOp(":"));
      ASSIGN_OR_RETURN(ExprPtr value, ParseExpression());
      dict->operands.push_back(std::move(key));
      dict->operands.push_back(std::move(value));
      if (!TakeOp(",")) break;
    }
    RETURN_IF_ERROR(ExpectOp("}"));
    return dict;
  }

  // .name, [..], (..), | filter, is test: in any order, left to right.
  absl::StatusOr<ExprPtr> ParsePostfix(ExprPtr expr) {
    for (int n = 0;; ++n) {
      RETURN_IF_ERROR(CheckChain(n));
      if (TakeOp(".")) {
        if (Peek().kind == Token::Kind::kInt) return Unsupported("an index written as .0");
        ASSIGN_OR_RETURN(std::string name, ExpectName());
        expr = Make(Kind::kAttribute, std::move(name), std::move(expr));
      } else if (TakeOp("[")) {
        ASSIGN_OR_RETURN(expr, ParseSubscript(std::move(expr)));
      } else if (AtOp("(")) {
        expr = Make(Kind::kCall, "", std::move(expr));
        ASSIGN_OR_RETURN(expr->arguments, ParseArguments());
      } else if (TakeOp("|")) {
        ASSIGN_OR_RETURN(std::string name, ExpectName());
        if (!IsKnownFilter(name)) return Unsupported(absl::StrCat("the filter '", name, "'"));
        expr = Make(Kind::kFilter, std::move(name), std::move(expr));
        if (AtOp("(")) {
          ASSIGN_OR_RETURN(expr->arguments, ParseArguments());
        }
      } else if (TakeName("is")) {
        ASSIGN_OR_RETURN(expr, ParseTest(std::move(expr)));
      } else {
        return expr;
      }
    }
  }

  absl::StatusOr<ExprPtr> ParseTest(ExprPtr operand) {
    const bool negated = TakeName("not");
    ASSIGN_OR_RETURN(std::string name, ExpectName());
    if (!IsKnownTest(name)) return Unsupported(absl::StrCat("the test '", name, "'"));
    ExprPtr expr = Make(Kind::kTest, std::move(name), std::move(operand));
    const Token::Kind kind = Peek().kind;
    const bool keyword = AtName("else") || AtName("or") || AtName("and") || AtName("if") ||
                         AtName("is") || AtName("in") || AtName("not");
    if (AtOp("(")) {
      ASSIGN_OR_RETURN(expr->arguments, ParseArguments());
    } else if (!keyword && (kind == Token::Kind::kName || kind == Token::Kind::kString ||
                            kind == Token::Kind::kInt || kind == Token::Kind::kFloat || AtOp("[") ||
                            AtOp("{"))) {
      Argument argument;
      ASSIGN_OR_RETURN(argument.value, ParsePrimary());
      expr->arguments.push_back(std::move(argument));
    }
    return negated ? Make(Kind::kNot, "", std::move(expr)) : std::move(expr);
  }

  absl::StatusOr<ExprPtr> ParseSubscript(ExprPtr operand) {
    ExprPtr parts[3];
    int colons = 0;
    while (!AtOp("]")) {
      if (TakeOp(":")) {
        if (++colons > 2) return Error("too many ':' in a slice");
        continue;
      }
      if (parts[colons] != nullptr) return Error(absl::StrCat("expected ']', found ", Found()));
      ASSIGN_OR_RETURN(parts[colons], ParseExpression());
    }
    ++at_;
    if (colons == 0) {
      if (parts[0] == nullptr) return Error("empty subscript");
      return Make(Kind::kItem, "", std::move(operand), std::move(parts[0]));
    }
    ExprPtr slice = Make(Kind::kSlice, "", std::move(operand));
    for (ExprPtr& part : parts) slice->operands.push_back(std::move(part));
    return slice;
  }

  absl::StatusOr<std::vector<Argument>> ParseArguments() {
    std::vector<Argument> arguments;
    RETURN_IF_ERROR(ExpectOp("("));
    while (!AtOp(")")) {
      if (AtOp("*") || AtOp("**")) return Unsupported("unpacking arguments");
      Argument argument;
      if (Peek().kind == Token::Kind::kName && at_ + 1 < tokens_.size() &&
          tokens_[at_ + 1].kind == Token::Kind::kOp && tokens_[at_ + 1].text == "=") {
        argument.keyword = Take().text;
        ++at_;
      } else if (!arguments.empty() && !arguments.back().keyword.empty()) {
        return Error("a positional argument follows a keyword argument");
      }
      ASSIGN_OR_RETURN(argument.value, ParseExpression());
      arguments.push_back(std::move(argument));
      if (!TakeOp(",")) break;
    }
    RETURN_IF_ERROR(ExpectOp(")"));
    return arguments;
  }

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  int loop_nesting_ = 0;
};

}  // namespace

absl::StatusOr<Block> ParseTemplate(absl::string_view source) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace oneai::models::jinja
