#include "compute_fabric/endpoints/device_choice.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/reader.h"

namespace oneai::fabric {
namespace {

// What validation allows a job.
constexpr size_t kAlternativesMax = 16;

struct NamedKind {
  const char* prefix;  // of the kind, or the kind itself
  ServingKind serving;
};

// The first whose prefix fits.
constexpr NamedKind kShipped[] = {
    {"nvidia-", {v1::INTERACTIVE, false, false}},
    {"hanguang-", {v1::INTERACTIVE, false, false}},  // int8
    {"x86-amx", {v1::STANDARD, true, true}},
    {"x86-avx512", {v1::STANDARD, true, true}},
    {"yitian-710", {v1::STANDARD, true, true}},
    {"arm-bf16", {v1::STANDARD, true, true}},
    {"x86", {v1::BATCH, true, true}},
    {"arm-neon", {v1::BATCH, true, true}},
};

// The classes by number: the lower, the faster.
static_assert(v1::INTERACTIVE < v1::STANDARD && v1::STANDARD < v1::BATCH);

std::string ClassName(v1::LatencyClass latency) {
  return absl::AsciiStrToLower(v1::LatencyClass_Name(latency));
}

ServingKind ServingKindOf(const std::string& kind, const LatencyClassOfKind& measured) {
  ServingKind serving = ShippedServingKind(kind);
  const auto found = measured.find(kind);
  if (found != measured.end()) serving.fastest = found->second;
  return serving;
}

// Thousandths of the largest processor of that kind.
int32_t ShareOf(int64_t cpu_milli, int64_t cpu_milli_of_node) {
  if (cpu_milli_of_node <= 0) return 1000;
  const int64_t share = (1000 * cpu_milli + cpu_milli_of_node - 1) / cpu_milli_of_node;
  return static_cast<int32_t>(std::clamp<int64_t>(share, 1, 1000));
}

// What the device adds to a replica's price; its cores and memory cost the same everywhere.
double PriceOf(const std::string& kind, const ServingKind& serving, const PricePerHour& prices) {
  const auto price = prices.find(kind);
  if (price != prices.end()) return price->second;
  return serving.processor ? 0 : std::numeric_limits<double>::infinity();
}

absl::Status NothingMeets(v1::LatencyClass wanted, const std::vector<FabricKind>& kinds,
                          const LatencyClassOfKind& measured) {
  v1::LatencyClass nearest = v1::LATENCY_CLASS_UNSPECIFIED;
  std::vector<std::string> cannot_run;
  std::vector<std::string> too_slow;
  for (const FabricKind& one : kinds) {
    const ServingKind serving = ServingKindOf(one.kind, measured);
    if (!serving.runs) {
      if (serving.fastest <= wanted) cannot_run.push_back(one.kind);
      continue;
    }
    too_slow.push_back(absl::StrCat(one.kind, " (", ClassName(serving.fastest), ")"));
    if (nearest == v1::LATENCY_CLASS_UNSPECIFIED || serving.fastest < nearest)
      nearest = serving.fastest;
  }
  std::string message = absl::StrCat("latency_class: no device in this fabric is fast enough for ",
                                     ClassName(wanted));
  if (!too_slow.empty()) absl::StrAppend(&message, "; there is ", absl::StrJoin(too_slow, ", "));
  if (!cannot_run.empty()) {
    absl::StrAppend(&message, "; ", absl::StrJoin(cannot_run, ", "),
                    " would be, but oneai-serve runs on processors only");
  }
  absl::StrAppend(&message, nearest == v1::LATENCY_CLASS_UNSPECIFIED
                                ? "; leave the class out, or name devices"
                                : absl::StrCat("; the nearest class is ", ClassName(nearest)));
  return absl::InvalidArgumentError(message);
}

}  // namespace

ServingKind ShippedServingKind(absl::string_view kind) {
  for (const NamedKind& known : kShipped) {
    if (absl::StartsWith(kind, known.prefix)) return known.serving;
  }
  return {};
}

absl::StatusOr<LatencyClassOfKind> ParseLatencyClasses(const std::vector<std::string>& entries) {
  const std::vector<std::string> classes = {"interactive", "standard", "batch"};
  LatencyClassOfKind parsed;
  for (const std::string& entry : entries) {
    const size_t equals = entry.find('=');
    const std::string kind = entry.substr(0, equals);
    const std::string name = equals == std::string::npos ? "" : entry.substr(equals + 1);
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (kind.empty() || found == classes.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("latency class ", entry.substr(0, 80), " is not KIND=CLASS; the nearest is ",
                       kind.empty() ? "x86-amx" : kind.substr(0, 64), "=",
                       NearestWord(name, classes).value_or("standard")));
    }
    parsed[kind] = static_cast<v1::LatencyClass>(found - classes.begin() + v1::INTERACTIVE);
  }
  return parsed;
}

std::vector<FabricKind> KindsOf(const std::vector<const v1::Node*>& nodes) {
  std::map<std::string, int64_t> largest;
  for (const v1::Node* node : nodes) {
    for (const v1::Device& device : node->info().devices()) {
      const auto [kind, inserted] = largest.emplace(device.kind(), node->info().cpu_milli());
      if (!inserted) kind->second = std::max(kind->second, node->info().cpu_milli());
    }
  }
  std::vector<FabricKind> kinds;
  for (const auto& [kind, cpu_milli] : largest) kinds.push_back({kind, cpu_milli});
  return kinds;
}

absl::StatusOr<std::vector<v1::DeviceRequest>> ChooseDevices(v1::LatencyClass wanted,
                                                             const v1::Resources& resources,
                                                             const std::vector<FabricKind>& kinds,
                                                             const PricePerHour& prices,
                                                             const LatencyClassOfKind& measured) {
  // Price, then the slowest first, then by name.
  std::vector<std::tuple<double, int, std::string, v1::DeviceRequest>> fit;
  for (const FabricKind& one : kinds) {
    const ServingKind serving = ServingKindOf(one.kind, measured);
    if (!serving.runs || serving.fastest > wanted) continue;
    v1::DeviceRequest request;
    request.set_kind(one.kind);
    request.set_count(1);
    if (serving.processor) request.set_milli(ShareOf(resources.cpu_milli(), one.cpu_milli_max));
    const double devices = request.milli() > 0 ? request.milli() / 1000.0 : 1.0;
    fit.emplace_back(PriceOf(one.kind, serving, prices) * devices, -serving.fastest, one.kind,
                     std::move(request));
  }
  if (fit.empty()) return NothingMeets(wanted, kinds, measured);
  std::sort(fit.begin(), fit.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a), std::get<2>(a)) <
           std::tie(std::get<0>(b), std::get<1>(b), std::get<2>(b));
  });
  std::vector<v1::DeviceRequest> alternatives;
  double preference = 1;
  for (auto& [price, fastest, kind, request] : fit) {
    if (alternatives.size() == kAlternativesMax) break;
    request.set_relative_throughput(preference);  // what the scheduler orders alternatives by
    preference /= 2;
    alternatives.push_back(std::move(request));
  }
  return alternatives;
}

}  // namespace oneai::fabric
