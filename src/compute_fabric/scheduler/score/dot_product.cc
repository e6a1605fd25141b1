// Dot product (Tetris, Grandl et al., SIGCOMM'14, in the form that FGD compares with): what is left
// times what is asked, over CPU and devices; less is better, so that tasks go where the dimension
// they need most is scarce.
#include "compute_fabric/scheduler/score/policies.h"

namespace oneai::fabric {
namespace {

class DotProductScorer : public Scorer {
 public:
  NodeScore Score(const NodeState& node, const TaskShape& shape,
                  const DeviceAlternative* device) const override {
    const double cpu = static_cast<double>(node.cpu_milli_free) / kNodeCpuMilli *
                       (static_cast<double>(shape.cpu_milli) / kNodeCpuMilli);
    const double asked = device != nullptr ? static_cast<double>(device->total_milli()) : 0;
    const double devices =
        static_cast<double>(DeviceMilliFree(node)) / kNodeDeviceMilli * (asked / kNodeDeviceMilli);
    return {ClampScore(kScoreMax * (1 - (cpu + devices) / 2)), TightestDevice(node, device)};
  }
};

}  // namespace

std::unique_ptr<Scorer> MakeDotProductScorer() { return std::make_unique<DotProductScorer>(); }

}  // namespace oneai::fabric
