// File: compute_fabric/jobs/job_spec.h
//
// What a job may ask for. Everything here came from outside; nothing behind this check validates it
// again.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

inline constexpr int kNameLengthMax = 128;
inline constexpr int kTasksMax = 4096;

// InvalidArgument for the first wrong field: names it, its value and the nearest valid value.
// `kinds`: the built-in kinds; a job is one of them or "command".
absl::Status ValidateJobSpec(const v1::JobSpec& spec, const std::vector<std::string>& kinds);

// One named field: letters, digits, '.', '_', '-', beginning with a letter or digit, 1..128
// characters.
absl::Status ValidateName(absl::string_view field, absl::string_view value);
// "<business unit>/<project>", each a name.
absl::Status ValidateProject(absl::string_view value);
absl::Status ValidateResources(const v1::Resources& resources);

// The part of a project before '/': "retail" of "retail/nlp".
absl::string_view BusinessUnitOf(absl::string_view project);

// Fields with their default where the spec has 0.
absl::Duration GraceOf(const v1::JobSpec& spec);           // 10 s
absl::Duration BackoffInitialOf(const v1::JobSpec& spec);  // 1 s
absl::Duration BackoffMaxOf(const v1::JobSpec& spec);      // 60 s, or the initial one if longer

}  // namespace oneai::fabric
