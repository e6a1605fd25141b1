#include "serving/grammar/json_object_keys.h"

#include "base/status.h"

namespace oneai::serving {

absl::StatusOr<std::vector<KeyKind>> KindsOfKeys(JsonText& json, JsonScalars& scalars,
                                                 const std::vector<std::string>& listed,
                                                 const std::vector<NamePattern>& patterns,
                                                 std::optional<ExprId> allowed,
                                                 ExpressionPool& pool, const std::string& place) {
  ExprId all = json.ContentExcept(listed);
  if (allowed.has_value()) {
    ASSIGN_OR_RETURN(all, scalars.Both(all, *allowed, place));
  }
  std::vector<KeyKind> kinds = {{all, {}}};
  for (size_t i = 0; i < patterns.size(); ++i) {
    std::vector<KeyKind> parted;
    for (const KeyKind& kind : kinds) {
      KeyKind matching = kind, other = kind;
      ASSIGN_OR_RETURN(matching.content, scalars.Both(kind.content, patterns[i].content, place));
      ASSIGN_OR_RETURN(other.content, scalars.Without(kind.content, patterns[i].content, place));
      matching.patterns.push_back(i);
      for (KeyKind& part : std::vector<KeyKind>{matching, other}) {
        if (pool.expr(part.content).kind != Expr::Kind::kNever) parted.push_back(std::move(part));
      }
    }
    kinds = std::move(parted);
  }
  std::erase_if(kinds, [&](const KeyKind& kind) {
    return pool.expr(kind.content).kind == Expr::Kind::kNever;
  });
  return kinds;
}

}  // namespace oneai::serving
