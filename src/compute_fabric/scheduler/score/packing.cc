// Packing (MLaaS in the wild, Weng et al., NSDI'22, in the form that FGD compares with): first
// devices that are shared already, then nodes that are used already, idle nodes last.
#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

class PackingScorer : public Scorer {
 public:
  NodeScore Score(const NodeState& node, const TaskShape&,
                  const DeviceAlternative* device) const override {
    if (device == nullptr) return {};
    return {ClampScore(NodeClass(node, *device)), TightestDevice(node, device)};
  }

 private:
  static int NodeClass(const NodeState& node, const DeviceAlternative& device) {
    absl::InlinedVector<int32_t, 16> fitting;  // what is left of those with room
    int num_whole = 0;
    bool idle = true;
    for (size_t i = 0; i < node.devices.size(); ++i) {
      if (!node.devices[i].healthy) continue;
      const bool whole = node.devices[i].milli_free == kWholeDevice;
      num_whole += whole ? 1 : 0;
      idle = idle && whole;
      if (DeviceFits(node, i, device)) fitting.push_back(node.devices[i].milli_free);
    }
    if (idle) return std::max(33 - num_whole, num_whole);
    std::sort(fitting.begin(), fitting.end());
    int opened = 0;    // idle devices that the task would start to use
    int left_pct = 0;  // of the devices it would take
    for (int i = 0; i < device.count && i < static_cast<int>(fitting.size()); ++i) {
      if (fitting[i] == kWholeDevice) ++opened;
      left_pct += fitting[i] / 10;
    }
    return opened > 0 ? std::max(50 - opened, 33) : std::max(kScoreMax - left_pct / 10, 50);
  }
};

}  // namespace

std::unique_ptr<Scorer> MakePackingScorer() { return std::make_unique<PackingScorer>(); }

}  // namespace oneai::fabric
