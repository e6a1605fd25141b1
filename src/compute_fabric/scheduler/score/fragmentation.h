// File: compute_fabric/scheduler/score/fragmentation.h
//
// FGD's F(n), prepared for speed: the policies that follow the fragmentation gradient ask for it
// several times a score.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {

// What of a node F looks at: CPU, and what is left of its healthy devices, by kind.
struct NodeProfile {
  struct Kind {
    int table = -1;  // in FragmentationModel; -1: no typical task wants the kind
    const std::string* name = nullptr;
    absl::InlinedVector<int32_t, 8> left;
    absl::InlinedVector<int32_t, 8> index;  // in NodeState::devices
  };
  int64_t cpu_milli = 0;
  absl::InlinedVector<Kind, 1> kinds;

  // What would be left after a task. `device`: for a share, the place in kinds[kind].left; whole
  // devices are taken from the first idle ones.
  void Take(int64_t cpu, const DeviceAlternative* wanted, int kind, int device);
  // -1: none.
  int FindKind(const std::string& name) const;
};

// The typical tasks, sorted by kind of device. Where a task lists several alternatives of one kind,
// its first counts. Thread-safe.
class FragmentationModel {
 public:
  explicit FragmentationModel(const std::vector<TypicalTask>& typical_tasks);

  NodeProfile Profile(const NodeState& node) const;
  // F of the node, in milli-devices.
  double Of(const NodeProfile& node) const;

 private:
  struct Demand {
    int64_t cpu_milli = 0;
    int32_t milli = 0;
    int32_t count = 0;
    double popularity = 0;
  };
  struct KindTable {
    std::string kind;
    std::vector<Demand> demands;
  };

  double OfKind(const NodeProfile::Kind& kind, int64_t cpu_milli) const;

  std::vector<KindTable> tables_;
};

}  // namespace oneai::fabric
