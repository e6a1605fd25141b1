// File: models/golden/golden.h
//
// Runs a golden fixture: the one entry point of the oneai-golden binary and of the tests.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "models/golden/report.h"

namespace oneai::models::golden {

// Checks serving and training against the fixture in `folder`, with every form of its config.json
// that is there. Errors: a fixture that cannot be checked (absent, malformed, or of an unsupported
// architecture), in words.
absl::StatusOr<Report> RunFixture(const std::filesystem::path& folder);

}  // namespace oneai::models::golden
