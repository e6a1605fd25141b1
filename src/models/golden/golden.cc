#include "models/golden/golden.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/golden/adapter_checks.h"
#include "models/golden/cpu_checks.h"
#include "models/golden/fixture.h"
#include "models/golden/hybrid_checks.h"
#include "models/golden/torch_checks.h"
#include "models/lora/lora_adapter.h"

namespace oneai::models::golden {
namespace {

// Merged into the weights, and applied to them as in training: two ways to one result.
absl::Status CheckAdapter(const Fixture& fixture, const ModelConfig& config, const Checkpoint& base,
                          const std::string& name, absl::string_view suffix, Report& report) {
  ASSIGN_OR_RETURN(const LoraAdapter adapter, LoraAdapter::Load(fixture.folder() / name, config));
  ASSIGN_OR_RETURN(Checkpoint merged, MergeAdapter(config, base, adapter));
  const std::string named = absl::StrCat(" ", name, suffix);
  RETURN_IF_ERROR(CheckOnCpu(fixture, config, std::move(merged), name, named, report));
  return CheckWithTorch(fixture, config, {base, name, &adapter}, named, report);
}

}  // namespace

absl::StatusOr<Report> RunFixture(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const Fixture fixture, Fixture::Open(folder));
  ASSIGN_OR_RETURN(const Checkpoint base, Checkpoint::Open(folder));
  Report report;
  for (const std::string& part : fixture.left_out()) report.LeaveOut(part);
  for (const NamedConfig& form : fixture.configs()) {
    const bool is_first = &form == &fixture.configs().front();
    const std::string suffix = is_first ? "" : " (v5)";
    RETURN_IF_ERROR(CheckOnCpu(fixture, form.config, base, "", suffix, report));
    RETURN_IF_ERROR(CheckWithTorch(fixture, form.config, {base, "", nullptr}, suffix, report));
    RETURN_IF_ERROR(CheckDraftHead(fixture, form.config, base, suffix, report));
    if (!fixture.adapters().empty())
      RETURN_IF_ERROR(CheckMixedAdapters(fixture, form.config, base, suffix, report));
    for (const std::string& adapter : fixture.adapters())
      RETURN_IF_ERROR(CheckAdapter(fixture, form.config, base, adapter, suffix, report));
  }
  return report;
}

}  // namespace oneai::models::golden
