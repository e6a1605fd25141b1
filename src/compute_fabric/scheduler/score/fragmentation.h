// File: compute_fabric/scheduler/score/fragmentation.h
//
// Fragmentation of a node, prepared for speed: the policies that follow its gradient ask for it
// several times a score.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {

// What of a node fragmentation looks at: CPU, and what is left of its healthy devices, by kind.
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

// What a fragment is.
enum class FragmentRule {
  // FGD's F(n): what is left on devices where a typical task does not fit, expected over all
  // typical tasks. CPU-only tasks and those of other kinds can use nothing.
  kNextTask,
  // Looks further: a task uses what is left only as far as the node's CPU would last for more of
  // its like (half as much again, since neighbours differ); expected over the typical tasks that
  // accept the kind, so that kinds in low demand are not worth less.
  kWhileCpuLasts,
};

// The typical tasks, sorted by kind of device. Where a task lists several alternatives of one kind,
// its first counts. Thread-safe.
class FragmentationModel {
 public:
  FragmentationModel(const std::vector<TypicalTask>& typical_tasks, FragmentRule rule);

  NodeProfile Profile(const NodeState& node) const;
  // In milli-devices.
  double Of(const NodeProfile& node) const;

 private:
  struct Demand {
    int64_t cpu_milli = 0;
    int32_t count = 0;
    double popularity = 0;
    double usable_per_cpu = 0;  // milli-devices that a milli-core of the node can serve
  };
  // Demands for devices with at least `milli` left.
  struct Level {
    int32_t milli = 0;
    std::vector<Demand> demands;
  };
  struct KindTable {
    std::string kind;
    std::vector<Level> levels;
  };

  void AddDemand(const TypicalTask& task, const DeviceAlternative& device, FragmentRule rule);
  double OfKind(const NodeProfile::Kind& kind, int64_t cpu_milli) const;

  std::vector<KindTable> tables_;
};

}  // namespace oneai::fabric
