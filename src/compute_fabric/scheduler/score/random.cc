// Random: any node that has room, any device of it that has room. The floor of every comparison.
#include <random>

#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

class RandomScorer : public Scorer {
 public:
  explicit RandomScorer(uint64_t seed) : bits_(seed) {}

  // The highest of independent draws is equally likely at every node; 31 bits leave no ties that
  // would favour the first nodes.
  NodeScore Score(const NodeState& node, const TaskShape&,
                  const DeviceAlternative* device) const override {
    NodeScore score;
    score.score = static_cast<int>(bits_() >> 33);
    if (device == nullptr || device->milli >= kWholeDevice) return score;
    uint64_t highest = 0;
    for (size_t i = 0; i < node.devices.size(); ++i) {
      if (!DeviceFits(node, i, *device)) continue;
      const uint64_t draw = bits_();
      if (score.device < 0 || draw > highest) {
        score.device = static_cast<int>(i);
        highest = draw;
      }
    }
    return score;
  }
  bool IsLocal() const override { return false; }

 private:
  mutable std::mt19937_64 bits_;
};

}  // namespace

std::unique_ptr<Scorer> MakeRandomScorer(uint64_t seed) {
  return std::make_unique<RandomScorer>(seed);
}

}  // namespace oneai::fabric
