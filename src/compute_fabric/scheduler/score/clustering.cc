// Clustering (Gandiva's grouping of like jobs, Xiao et al., OSDI'18, in the form that FGD compares
// with): tasks of one class share nodes. Classes: shares of a device, 1 device, 2 devices, ...
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

class ClusteringScorer : public Scorer {
 public:
  NodeScore Score(const NodeState& node, const TaskShape&,
                  const DeviceAlternative* device) const override {
    if (device == nullptr) return {};
    const double taken = kNodeDeviceMilli - static_cast<double>(DeviceMilliFree(node));
    const int score = static_cast<int>(25 * taken / kNodeDeviceMilli) + ClassBonus(node, *device);
    return {ClampScore(score), TightestDevice(node, device)};
  }

 private:
  static int ClassBonus(const NodeState& node, const DeviceAlternative& device) {
    const int own = DeviceClassOf(device);
    bool others = false;
    for (int i = 0; i < kNumDeviceClasses; ++i) {
      if (i != own && node.num_tasks_by_class[i] > 0) others = true;
    }
    if (node.num_tasks_by_class[own] > 0) return others ? 50 : 75;
    return others ? 0 : 25;
  }
};

}  // namespace

std::unique_ptr<Scorer> MakeClusteringScorer() { return std::make_unique<ClusteringScorer>(); }

}  // namespace oneai::fabric
