#include "compute_fabric/scheduler/score/score.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

struct NamedPolicy {
  absl::string_view name;
  ScorePolicy policy;
};
constexpr std::array<NamedPolicy, 7> kPolicies = {{{"oneai", ScorePolicy::kOneai},
                                                   {"fgd", ScorePolicy::kFgd},
                                                   {"best_fit", ScorePolicy::kBestFit},
                                                   {"packing", ScorePolicy::kPacking},
                                                   {"clustering", ScorePolicy::kClustering},
                                                   {"dot_product", ScorePolicy::kDotProduct},
                                                   {"random", ScorePolicy::kRandom}}};

}  // namespace

std::unique_ptr<Scorer> MakeScorer(ScorePolicy policy, std::vector<TypicalTask> typical_tasks,
                                   uint64_t seed) {
  switch (policy) {
    case ScorePolicy::kOneai:
      return MakeOneaiScorer(std::move(typical_tasks));
    case ScorePolicy::kFgd:
      return MakeFgdScorer(std::move(typical_tasks));
    case ScorePolicy::kBestFit:
      return MakeBestFitScorer();
    case ScorePolicy::kPacking:
      return MakePackingScorer();
    case ScorePolicy::kClustering:
      return MakeClusteringScorer();
    case ScorePolicy::kDotProduct:
      return MakeDotProductScorer();
    case ScorePolicy::kRandom:
      return MakeRandomScorer(seed);
  }
  return nullptr;
}

double DemandCoverage(ScorePolicy policy) { return policy == ScorePolicy::kOneai ? 0.99 : 0.95; }

absl::string_view ScorePolicyName(ScorePolicy policy) {
  for (const NamedPolicy& named : kPolicies) {
    if (named.policy == policy) return named.name;
  }
  return "";
}

absl::StatusOr<ScorePolicy> ParseScorePolicy(absl::string_view name) {
  for (const NamedPolicy& named : kPolicies) {
    if (named.name == name) return named.policy;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no score policy \"", name, "\"; there are ",
      absl::StrJoin(kPolicies, ", ",
                    [](std::string* out, const NamedPolicy& p) { absl::StrAppend(out, p.name); })));
}

int64_t DeviceMilliFree(const NodeState& node) {
  int64_t sum = 0;
  for (const DeviceState& device : node.devices) {
    if (device.healthy) sum += device.milli_free;
  }
  return sum;
}

bool DeviceFits(const NodeState& node, size_t index, const DeviceAlternative& wanted) {
  const DeviceState& device = node.devices[index];
  const DeviceSpec& spec = node.spec.devices[index];
  if (!device.healthy || device.milli_free < wanted.milli || spec.kind != wanted.kind) return false;
  const int64_t memory_bytes = wanted.memory_bytes > 0
                                   ? wanted.memory_bytes
                                   : spec.memory_bytes / kWholeDevice * wanted.milli;
  return device.memory_free >= memory_bytes;
}

int TightestDevice(const NodeState& node, const DeviceAlternative* wanted) {
  int best = -1;
  if (wanted == nullptr || wanted->milli >= kWholeDevice) return best;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (!DeviceFits(node, i, *wanted)) continue;
    if (best < 0 || node.devices[i].milli_free < node.devices[best].milli_free) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

}  // namespace oneai::fabric
