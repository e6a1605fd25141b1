// Our default policy. Three additions to fragmentation gradient descent (fgd.cc), each aimed at
// what FGD leaves idle, and one thing kept, that near-equal nodes are filled one after the other:
//
// 1. Shares go where they complete a device. FGD asks whether the next task would fit on the rest
//    of a device; but 470 of 1,000 leaves 530, where the next task may well fit (a 320) and leave
//    210 that nobody wants. SharePrices knows which shares fill a device together, in the
//    proportions that are in demand; what a placement loses against that (Regret) weighs more than
//    any fragmentation.
// 2. Devices count as usable only while the node's CPU lasts (FragmentRule::kWhileCpuLasts). Three
//    idle devices with the CPU for one task are fragments of two, before it is too late.
// 3. Kinds of device are alike but for what their own tasks could use: FGD takes a kind that few
//    ask for as a fragment by itself, fills it first, and then drops those few.
// Near-equal: falls of fragmentation are rounded to the nearest tenth of a device, so that a
// difference of a few milli either way does not end the steady order.
//
// Measured with `oneai-sim fgd`, GPU allocated at 100 % arrived, mean of the 13 published
// workloads, seeds 42..51 (rules chosen on seeds 1..6): FGD 94.35 % as published, this
// policy 95.26 %, better on each. On the default workload 96.03 % against 95.23 %, where even an
// optimal packing of the shares leaves 3.8 % idle. On five workloads, one after the other:
// FGD 94.28, with rule 1 94.59, with coarser rounding 94.87, with rule 2 95.25, with rule 3 95.32.
// Where it loses: on clusters a twentieth of the size, when tasks insist on kinds of which there
// are few, it is up to 1.3 points behind FGD at 100 % arrived (and 1 to 2 ahead at 130 %): see
// rule 3.
#include <algorithm>
#include <cmath>
#include <map>

#include "compute_fabric/scheduler/score/fragmentation.h"
#include "compute_fabric/scheduler/score/policies.h"
#include "compute_fabric/scheduler/score/share_prices.h"

namespace oneai::fabric {
namespace {

constexpr double kMilliPerPoint = 100;      // 80 to 180 measured alike
constexpr double kMilliPerRegret = 12'000;  // so that a regret of 1 % is more than a point
constexpr double kNeutral = 50;

class OneaiScorer : public Scorer {
 public:
  explicit OneaiScorer(const std::vector<TypicalTask>& typical_tasks)
      : model_(typical_tasks, FragmentRule::kWhileCpuLasts),
        prices_(DemandForShares(typical_tasks)) {}

  NodeScore Score(const NodeState& node, const TaskShape& shape,
                  const DeviceAlternative* device) const override {
    const NodeProfile before = model_.Profile(node);
    const double fragment = model_.Of(before);
    const int kind = device != nullptr ? before.FindKind(device->kind) : -1;
    NodeScore best;
    if (device == nullptr || device->milli >= kWholeDevice) {
      NodeProfile after = before;
      after.Take(shape.cpu_milli, device, kind, -1);
      best.score = ScoreOf(fragment - model_.Of(after));
      return best;
    }
    const NodeProfile::Kind& candidates = before.kinds[kind];
    for (size_t i = 0; i < candidates.left.size(); ++i) {
      const int32_t left = candidates.left[i];
      const auto same = std::find(candidates.left.begin(), candidates.left.begin() + i, left);
      const bool seen = best.device >= 0 && same != candidates.left.begin() + i;
      if (seen || !DeviceFits(node, candidates.index[i], *device)) continue;
      NodeProfile after = before;
      after.Take(shape.cpu_milli, device, kind, static_cast<int>(i));
      const double fall =
          fragment - model_.Of(after) - kMilliPerRegret * prices_.Regret(left, device->milli);
      const int score = ScoreOf(fall);
      if (best.device < 0 || score > best.score) best = {score, candidates.index[i]};
    }
    return best;
  }

 private:
  static int ScoreOf(double fall_milli) {
    return ClampScore(std::floor(kNeutral + 0.5 + fall_milli / kMilliPerPoint));
  }
  static std::map<int32_t, double> DemandForShares(const std::vector<TypicalTask>& typical_tasks) {
    std::map<int32_t, double> demand;
    for (const TypicalTask& task : typical_tasks) {
      if (task.shape.devices.empty()) continue;
      const int32_t milli = task.shape.devices.front().milli;
      if (milli > 0 && milli < kWholeDevice) demand[milli] += task.popularity;
    }
    return demand;
  }

  FragmentationModel model_;
  SharePrices prices_;
};

}  // namespace

std::unique_ptr<Scorer> MakeOneaiScorer(std::vector<TypicalTask> typical_tasks) {
  return std::make_unique<OneaiScorer>(typical_tasks);
}

}  // namespace oneai::fabric
