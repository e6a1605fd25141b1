#include "compute_fabric/scheduler/queues/sandbox.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

constexpr char kSandboxName[] = "sandbox";

void Raise(Amounts& amounts, const Amounts& by) {
  for (const auto& [resource, amount] : by) {
    amounts[resource] = SaturatingAdd(amounts[resource], amount);
  }
}

// A unit's nominal grows, and its limit where it would fall below.
void RaiseNominal(QueueSpec& spec, const Amounts& by) {
  if (spec.nominal.empty()) return;
  Raise(spec.nominal, by);
  for (auto& [resource, limit] : spec.limit) {
    const auto nominal = spec.nominal.find(resource);
    if (nominal != spec.nominal.end()) limit = std::max(limit, nominal->second);
  }
}

}  // namespace

std::vector<QueueSpec> WithSandboxes(std::vector<QueueSpec> specs,
                                     const std::vector<std::string>& units,
                                     const Amounts& amounts) {
  if (amounts.empty()) return specs;
  std::set<std::string> missing(units.begin(), units.end());
  for (const QueueSpec& spec : specs) missing.insert(spec.path.substr(0, spec.path.find('/')));
  missing.erase("");
  for (const QueueSpec& spec : specs) {
    const size_t slash = spec.path.find('/');
    if (slash == std::string::npos) continue;
    if (spec.path.substr(slash + 1) == kSandboxName) missing.erase(spec.path.substr(0, slash));
  }
  std::map<std::string, QueueSpec*> by_path;
  for (QueueSpec& spec : specs) by_path.emplace(spec.path, &spec);
  for (const std::string& unit : missing) {
    if (const auto root = by_path.find(""); root != by_path.end()) {
      RaiseNominal(*root->second, amounts);
    }
    if (const auto found = by_path.find(unit); found != by_path.end()) {
      RaiseNominal(*found->second, amounts);
    }
  }
  for (const std::string& unit : missing) {
    QueueSpec sandbox;
    sandbox.path = absl::StrCat(unit, "/", kSandboxName);
    sandbox.nominal = amounts;
    sandbox.sandbox = true;
    specs.push_back(std::move(sandbox));
  }
  return specs;
}

}  // namespace oneai::fabric
