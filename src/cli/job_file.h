// File: cli/job_file.h
//
// A job as people write it (YAML, docs/jobs.md) to the JobSpec that is submitted. Strict: an
// unknown key is an error with its line.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::cli {

// `source` names the file in errors. InvalidArgument.
absl::StatusOr<fabric::v1::JobSpec> ParseJobFile(absl::string_view text, const std::string& source);

}  // namespace oneai::cli
