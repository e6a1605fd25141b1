#include "models/golden/golden.h"

#include <string>

#include "base/status.h"
#include "models/golden/cpu_checks.h"
#include "models/golden/fixture.h"
#include "models/golden/torch_checks.h"

namespace oneai::models::golden {

absl::StatusOr<Report> RunFixture(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const Fixture fixture, Fixture::Open(folder));
  Report report;
  for (const NamedConfig& form : fixture.configs()) {
    const bool is_first = &form == &fixture.configs().front();
    const std::string suffix = is_first ? "" : " (v5)";
    RETURN_IF_ERROR(CheckOnCpu(fixture, form.config, suffix, report));
    RETURN_IF_ERROR(CheckWithTorch(fixture, form.config, suffix, report));
  }
  return report;
}

}  // namespace oneai::models::golden
