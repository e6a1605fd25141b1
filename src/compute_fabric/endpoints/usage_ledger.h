// File: compute_fabric/endpoints/usage_ledger.h
//
// What business units have used, added up from the gateways' reports. Keys: usage/<unit>/<model>,
// usage_sequence/<gateway>.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"

namespace oneai::fabric {

// Thread-safe. `state` must outlive it.
class UsageLedger {
 public:
  explicit UsageLedger(FabricState* state) : state_(state) {}

  // Adds the deltas (a report of sequence 0 has none) if `request.sequence` is above the gateway's
  // last; otherwise they have been added. Returns the last sequence. InvalidArgument: names or
  // numbers out of bounds. Aborted: too many reports at once; retry.
  absl::StatusOr<v1::ReportUsageResponse> Report(const v1::ReportUsageRequest& request);

  // Records of the units that the caller may see.
  absl::StatusOr<v1::GetUsageResponse> Get(const Identity& caller) const;

 private:
  absl::StatusOr<v1::ReportUsageResponse> TryReport(const v1::ReportUsageRequest& request);

  FabricState* const state_;
};

}  // namespace oneai::fabric
