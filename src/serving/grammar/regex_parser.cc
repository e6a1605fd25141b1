#include "serving/grammar/regex_parser.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "serving/grammar/regex_syntax.h"

namespace oneai::serving {
namespace {

using Kind = RegexNode::Kind;

// What stands on one side of a part of the expression.
enum class Side {
  kInside,    // more of the expression: an anchor here would never or only sometimes match
  kAnchored,  // the end of the text
  kOpen,      // any text, unless the part begins (or ends) with an anchor
};

class RegexWriter {
 public:
  RegexWriter(const RegexOptions& options, ExpressionPool& pool,
              absl::FunctionRef<ExprId(const CharSet&)> write)
      : options_(options), pool_(pool), write_(write) {}

  absl::StatusOr<ExprId> Write(const RegexNode& node, Side left, Side right) {
    switch (node.kind) {
      case Kind::kAlternate: {
        std::vector<ExprId> branches;
        for (const RegexNode& child : node.children) {
          ASSIGN_OR_RETURN(const ExprId branch, Write(child, left, right));
          branches.push_back(branch);
        }
        return pool_.Alternate(std::move(branches));
      }
      case Kind::kConcat:
        return WriteConcat(node, left, right);
      case Kind::kTextStart:
        if (left == Side::kInside) return AnchorInside(node);
        return Surround(pool_.Bytes(""), Side::kAnchored, right);
      case Kind::kTextEnd:
        if (right == Side::kInside) return AnchorInside(node);
        return Surround(pool_.Bytes(""), left, Side::kAnchored);
      case Kind::kChars:
        return Surround(write_(node.chars), left, right);
      case Kind::kRepeat: {
        ASSIGN_OR_RETURN(const ExprId child, Write(node.children[0], Side::kInside, Side::kInside));
        const ExprId repeat = pool_.Repeat(child, node.min, node.max);
        pool_.SetPlace(repeat, absl::StrCat(options_.place, "offset ", node.offset));
        return Surround(repeat, left, right);
      }
    }
    return pool_.Never();
  }

 private:
  absl::Status AnchorInside(const RegexNode& node) const {
    return RegexError(options_, node.offset,
                      "^ and $ are supported at the ends of the expression only");
  }

  absl::StatusOr<ExprId> WriteConcat(const RegexNode& node, Side left, Side right) {
    size_t begin = 0, end = node.children.size();
    for (; begin < end && left != Side::kInside && node.children[begin].kind == Kind::kTextStart;
         ++begin)
      left = Side::kAnchored;
    for (; end > begin && right != Side::kInside && node.children[end - 1].kind == Kind::kTextEnd;
         --end)
      right = Side::kAnchored;
    if (begin == end) return Surround(pool_.Bytes(""), left, right);
    std::vector<ExprId> parts;
    for (size_t i = begin; i < end; ++i) {
      ASSIGN_OR_RETURN(const ExprId part, Write(node.children[i], i == begin ? left : Side::kInside,
                                                i + 1 == end ? right : Side::kInside));
      parts.push_back(part);
    }
    return pool_.Concat(std::move(parts));
  }

  ExprId Surround(ExprId expr, Side left, Side right) {
    std::vector<ExprId> parts;
    if (left == Side::kOpen) parts.push_back(AnyText());
    parts.push_back(expr);
    if (right == Side::kOpen) parts.push_back(AnyText());
    return pool_.Concat(std::move(parts));
  }
  ExprId AnyText() {
    if (any_text_ < 0) any_text_ = pool_.Repeat(write_(Complement({})), 0, Expr::kUnbounded);
    return any_text_;
  }

  const RegexOptions& options_;
  ExpressionPool& pool_;
  const absl::FunctionRef<ExprId(const CharSet&)> write_;
  ExprId any_text_ = -1;
};

}  // namespace

absl::StatusOr<ExprId> ParseRegex(absl::string_view regex, const RegexOptions& options,
                                  ExpressionPool& pool,
                                  absl::FunctionRef<ExprId(const CharSet&)> write) {
  ASSIGN_OR_RETURN(const RegexNode root, ParseRegexSyntax(regex, options));
  const Side side = options.dialect == RegexOptions::Dialect::kEcma ? Side::kOpen : Side::kAnchored;
  return RegexWriter(options, pool, write).Write(root, side, side);
}

absl::StatusOr<ExprId> ParseRegex(absl::string_view regex, const RegexOptions& options,
                                  ExpressionPool& pool) {
  return ParseRegex(regex, options, pool,
                    [&pool](const CharSet& chars) { return pool.Chars(chars); });
}

}  // namespace oneai::serving
