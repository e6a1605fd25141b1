// File: compute_fabric/jobs/job_array.h
//
// Arrays and sweeps: one submitted spec that stands for many jobs.
//
//   spec -> points -> one JobSpec a point
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "oneai/fabric/v1/job.pb.h"

namespace oneai::fabric {

inline constexpr int kArrayJobsMax = 10'000;
inline constexpr int kArrayIndexMax = 10'000'000;

// One job of an array or sweep.
struct ArrayPoint {
  int index = 0;
  std::vector<std::pair<std::string, std::string>> values;  // sweep: parameter and its value
};

struct ArrayIndices {
  std::vector<int> indices;  // ascending, each once
  int running_max = 0;       // 0: all
};

// "0-9", "1,3,7", "0-100:10", "0-9,20-29%4". InvalidArgument: names the part and the nearest valid
// value.
absl::StatusOr<ArrayIndices> ParseArrayIndices(absl::string_view text);

bool IsArray(const v1::JobSpec& spec);
// How many of its jobs may run at once; 0: all. Precondition: ExpandArray was OK.
int RunningMaxOf(const v1::JobSpec& spec);

// The points of an array or sweep, by index; none for any other job. Equal specs give equal points.
// InvalidArgument: too many, a parameter without values, both an array and a sweep, ...
absl::StatusOr<std::vector<ArrayPoint>> ExpandArray(const v1::JobSpec& spec);

// The job of one point: `${name}` in command, env and config_json is replaced by the value; a JSON
// string that is nothing but `${name}` becomes a number or truth value where the value is one.
// Names that are no parameter are left alone: a shell may want them.
v1::JobSpec SpecOfPoint(const v1::JobSpec& spec, const ArrayPoint& point);

// Id of a job of an array: the same for the same array and index, so that a submit that was cut off
// can be repeated.
std::string IdOfArrayJob(absl::string_view array_id, int index);

}  // namespace oneai::fabric
