// File: compute_fabric/endpoints/device_choice.h
//
// Which devices an endpoint's replicas may have: of the kinds in the fabric that are fast enough
// for its latency class, the cheapest first. Pure.
//
//   kinds in the fabric -> can run oneai-serve -> meets the class -> by price
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/jobs/job_usage.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// What a kind of device can do for endpoints.
struct ServingKind {
  v1::LatencyClass fastest = v1::BATCH;  // the class that it meets; slower ones, too
  bool runs = false;                     // oneai-serve runs there
  bool processor = false;                // the node's CPU itself: replicas share it by their cores
};

// What is known of `kind`, from the table that the fabric ships: NVIDIA GPUs and inference ASICs
// (int8) are INTERACTIVE, but oneai-serve runs on processors only; those with a matrix or 512-bit
// vector unit are STANDARD, other ones BATCH. Unknown kinds: BATCH, and it does not run there.
ServingKind ShippedServingKind(absl::string_view kind);

// What a platform owner has measured to be otherwise: the class of a kind.
using LatencyClassOfKind = std::map<std::string, v1::LatencyClass>;
// "x86-amx=interactive", one each. InvalidArgument: names the entry and the nearest valid class.
absl::StatusOr<LatencyClassOfKind> ParseLatencyClasses(const std::vector<std::string>& entries);

// A kind that is there, and the most cores of a node that has it.
struct FabricKind {
  std::string kind;
  int64_t cpu_milli_max = 0;
};
// The kinds of all nodes, by name.
std::vector<FabricKind> KindsOf(const std::vector<const v1::Node*>& nodes);

// The alternatives for a replica with `resources`, cheapest first; the scheduler prefers them in
// that order. A processor's share is that of the replica's cores of the largest node's, so that
// replicas fill it together; on smaller nodes their cores are the limit.
// Kinds of equal price: the slowest first, which leaves fast ones to those who need them. A device
// without a price comes after those with one. InvalidArgument: no kind in the fabric meets the
// class; names the nearest class that one meets and what stands in the way. `wanted` is not
// UNSPECIFIED.
absl::StatusOr<std::vector<v1::DeviceRequest>> ChooseDevices(v1::LatencyClass wanted,
                                                             const v1::Resources& resources,
                                                             const std::vector<FabricKind>& kinds,
                                                             const PricePerHour& prices,
                                                             const LatencyClassOfKind& measured);

}  // namespace oneai::fabric
