// File: compute_fabric/jobs/job_spec.h
//
// What a job may ask for. Everything here came from outside; nothing behind this check validates it
// again.
#pragma once

#include <optional>
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
// How the job wants to be placed: size, topology, selector, preemption, priority class,
// dependencies, reservation, queue. Part of ValidateJobSpec.
absl::Status ValidatePlacement(const v1::JobSpec& spec);

// The part of a project before '/': "retail" of "retail/nlp".
absl::string_view BusinessUnitOf(absl::string_view project);

// "frontier" 1000, "high" 100, "normal" 0, "low" -100, "idle" -1000; nullopt: no such class.
std::optional<int> PriorityOfClass(absl::string_view name);
// The class whose priority it is, or the number: "high", "7".
std::string DescribePriority(int priority);
// What the job says; without a word: frontier jobs and replicas of endpoints are not, others are.
bool IsPreemptible(const v1::JobSpec& spec);
// The path in the queue tree: `queue`, else the project.
const std::string& QueueOf(const v1::JobSpec& spec);

// Fields with their default where the spec has 0.
absl::Duration GraceOf(const v1::JobSpec& spec);           // 10 s
absl::Duration BackoffInitialOf(const v1::JobSpec& spec);  // 1 s
absl::Duration BackoffMaxOf(const v1::JobSpec& spec);      // 60 s, or the initial one if longer

}  // namespace oneai::fabric
