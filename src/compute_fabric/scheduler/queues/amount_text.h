// File: compute_fabric/scheduler/queues/amount_text.h
//
// Amounts in words, for reasons: people think in devices, cores and GiB.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

// "4 nvidia-h100-80g", "2.5 cores", "16 GiB memory", "unlimited nvidia-h100-80g".
std::string AmountText(absl::string_view resource, int64_t amount);
// "4 nvidia-h100-80g, 2.5 cores"; "nothing" when all are 0.
std::string AmountsText(const Amounts& amounts);

}  // namespace oneai::fabric
