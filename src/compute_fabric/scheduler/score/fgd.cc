// Fragmentation gradient descent (FGD, Weng et al., USENIX ATC'23): the node whose fragmentation
// grows least, or shrinks most, by the placement. Scores are whole numbers on purpose: with all
// digits near-equal nodes would be filled in turns instead of one after the other, which costs a
// point of allocation.
#include <cmath>

#include "compute_fabric/scheduler/score/fragmentation.h"
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

// The fall of fragmentation, in devices, to 0..100.
int ScoreOfFall(double fall_milli) {
  return static_cast<int>(kScoreMax / (1 + std::exp(-fall_milli / kWholeDevice)));
}

class FgdScorer : public Scorer {
 public:
  explicit FgdScorer(const std::vector<TypicalTask>& typical_tasks)
      : model_(typical_tasks, FragmentRule::kNextTask) {}

  NodeScore Score(const NodeState& node, const TaskShape& shape,
                  const DeviceAlternative* device) const override {
    const NodeProfile before = model_.Profile(node);
    const double fragment = model_.Of(before);
    const int kind = device != nullptr ? before.FindKind(device->kind) : -1;
    NodeScore best;
    if (device == nullptr || device->milli >= kWholeDevice) {
      NodeProfile after = before;
      after.Take(shape.cpu_milli, device, kind, -1);
      best.score = ScoreOfFall(fragment - model_.Of(after));
      return best;
    }
    const NodeProfile::Kind& candidates = before.kinds[kind];
    for (size_t i = 0; i < candidates.left.size(); ++i) {
      if (!DeviceFits(node, candidates.index[i], *device)) continue;
      NodeProfile after = before;
      after.Take(shape.cpu_milli, device, kind, static_cast<int>(i));
      const int score = ScoreOfFall(fragment - model_.Of(after));
      if (best.device < 0 || score > best.score) best = {score, candidates.index[i]};
    }
    return best;
  }

 private:
  FragmentationModel model_;
};

}  // namespace

std::unique_ptr<Scorer> MakeFgdScorer(std::vector<TypicalTask> typical_tasks) {
  return std::make_unique<FgdScorer>(typical_tasks);
}

}  // namespace oneai::fabric
