#include "data_gov/policy/policy.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::gov {
namespace {

using data::v1::PolicyRule;

// Matches a literal, or a prefix when the pattern ends with '*'.
bool MatchesPattern(const std::string& pattern, const std::string& text) {
  if (absl::EndsWith(pattern, "*")) {
    return absl::StartsWith(text, absl::string_view(pattern).substr(0, pattern.size() - 1));
  }
  return pattern == text;
}

template <typename List>
bool MatchesAny(const List& patterns, const std::string& text) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& p) { return MatchesPattern(p, text); });
}

bool Matches(const PolicyRule& rule, const AccessRequest& request) {
  const data::v1::DatasetHeader& header = request.dataset->header();
  if (!MatchesAny(rule.datasets(), header.name())) return false;
  if (!MatchesAny(rule.business_units(), request.reader.business_unit())) return false;
  if (!MatchesAny(rule.purposes(), request.purpose)) return false;
  if (rule.classifications_size() > 0 &&
      std::find(rule.classifications().begin(), rule.classifications().end(),
                header.classification()) == rule.classifications().end()) {
    return false;
  }
  return !rule.same_unit_only() || request.reader.business_unit() == UnitOf(header.name());
}

data::v1::AccessDecision Decide(bool allowed, std::string rule, std::string explanation) {
  data::v1::AccessDecision decision;
  decision.set_allowed(allowed);
  decision.set_rule(std::move(rule));
  decision.set_explanation(std::move(explanation));
  return decision;
}

const PolicyRule* FirstMatch(const std::vector<PolicyRule>& rules, PolicyRule::Effect effect,
                             const AccessRequest& request) {
  const PolicyRule* first = nullptr;
  for (const PolicyRule& rule : rules) {
    if (rule.effect() != effect || !Matches(rule, request)) continue;
    if (first == nullptr || rule.id() < first->id()) first = &rule;
  }
  return first;
}

}  // namespace

data::v1::AccessDecision Evaluate(const std::vector<PolicyRule>& rules,
                                  const AccessRequest& request) {
  const data::v1::DatasetHeader& header = request.dataset->header();
  const auto& allowed = header.allowed_purposes();
  if (std::find(allowed.begin(), allowed.end(), request.purpose) == allowed.end()) {
    return Decide(false, "owner-purposes",
                  absl::StrCat("the owner of ", header.name(), " allows it for ",
                               absl::StrJoin(allowed, ", "), "; not for ", request.purpose));
  }
  const std::string who =
      absl::StrCat(request.reader.name(), " of unit \"", request.reader.business_unit(), "\"");
  if (const PolicyRule* forbid = FirstMatch(rules, PolicyRule::FORBID, request)) {
    return Decide(false, forbid->id(),
                  absl::StrCat("rule ", forbid->id(), " forbids ", who, " to read ", header.name(),
                               " for ", request.purpose, ": ", forbid->reason()));
  }
  if (const PolicyRule* permit = FirstMatch(rules, PolicyRule::PERMIT, request)) {
    return Decide(true, permit->id(), absl::StrCat("rule ", permit->id(), " permits it"));
  }
  return Decide(false, "default-deny",
                absl::StrCat("no rule permits ", who, " to read ", header.name(), " for ",
                             request.purpose, "; ask its owner or a data steward for one"));
}

const std::vector<std::string>& KnownPurposes() {
  static const auto* const purposes = new std::vector<std::string>{
      "pretraining", "finetuning", "evaluation", "analytics", "synthesis", "federated", "quality"};
  return *purposes;
}

absl::Status ValidatePurpose(const std::string& purpose) {
  const std::vector<std::string>& known = KnownPurposes();
  if (std::find(known.begin(), known.end(), purpose) != known.end()) return absl::OkStatus();
  const std::optional<std::string> nearest = NearestWord(purpose, known);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown purpose \"", purpose, "\"",
                   nearest ? absl::StrCat("; did you mean \"", *nearest, "\"?") : "",
                   " (known: ", absl::StrJoin(known, ", "), ")"));
}

absl::Status ValidateRule(const PolicyRule& rule) {
  const bool safe = !rule.id().empty() && rule.id().size() <= 64 &&
                    std::all_of(rule.id().begin(), rule.id().end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                    });
  if (!safe) {
    return absl::InvalidArgumentError(
        "a rule needs an id of 1 to 64 letters, digits, '-', '_' or '.'");
  }
  if (rule.effect() != PolicyRule::PERMIT && rule.effect() != PolicyRule::FORBID) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", rule.id(), " has no effect: set PERMIT or FORBID"));
  }
  if (rule.effect() == PolicyRule::FORBID && rule.reason().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rule ", rule.id(), " forbids without a reason: whoever is refused must be told why"));
  }
  for (const std::string& purpose : rule.purposes()) RETURN_IF_ERROR(ValidatePurpose(purpose));
  return absl::OkStatus();
}

std::vector<PolicyRule> DefaultRules() {
  PolicyRule own;
  own.set_id("own-unit");
  own.set_effect(PolicyRule::PERMIT);
  own.set_same_unit_only(true);
  own.set_reason("a business unit may read its own data for the purposes it allows");

  PolicyRule open;
  open.set_id("public-data");
  open.set_effect(PolicyRule::PERMIT);
  open.add_classifications(data::v1::PUBLIC);
  open.set_reason("public data may be read by every unit");

  PolicyRule personal;
  personal.set_id("personal-data-never-trains");
  personal.set_effect(PolicyRule::FORBID);
  personal.add_classifications(data::v1::RESTRICTED);
  personal.add_purposes("pretraining");
  personal.add_purposes("finetuning");
  personal.set_reason("personal data must be anonymised before it trains a model");
  return {own, open, personal};
}

std::string UnitOf(const std::string& dataset_name) {
  return dataset_name.substr(0, dataset_name.find('/'));
}

}  // namespace oneai::gov
