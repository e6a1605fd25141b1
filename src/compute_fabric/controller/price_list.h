// File: compute_fabric/controller/price_list.h
//
// What resources cost, as a platform owner writes it:
//
//   prices:               # per hour, in whatever currency
//     cpu: 0.04           # of a core
//     memory: 0.005       # of a GiB
//     nvidia-h100-80g: 2.5
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/jobs/job_usage.h"

namespace oneai::fabric {

// `source` names the file in errors. InvalidArgument: an unknown key, a price that is no number of
// at least 0.
absl::StatusOr<PricePerHour> ParsePrices(absl::string_view text, const std::string& source);

}  // namespace oneai::fabric
