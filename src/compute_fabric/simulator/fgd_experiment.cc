#include "compute_fabric/simulator/fgd_experiment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <utility>

#include "compute_fabric/scheduler/score/fragmentation.h"
#include "compute_fabric/scheduler/score/score.h"

namespace oneai::fabric {
namespace {

constexpr double kTargetLoad = 1.3;  // of the cluster's GPUs, asked for by the end

// The library's distributions and std::shuffle differ between implementations; this does not.
class Dice {
 public:
  explicit Dice(uint64_t seed) : bits_(seed) {}
  size_t Below(size_t n) {
    return static_cast<size_t>((static_cast<unsigned __int128>(bits_()) * n) >> 64);
  }
  template <typename T>
  void Shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[Below(i)]);
  }

 private:
  std::mt19937_64 bits_;
};

int64_t MilliOf(const TaskShape& task) {
  return task.devices.empty() ? 0 : task.devices[0].total_milli();
}

// Indexes into `tasks` in the order of arrival.
std::vector<size_t> ArrivalOrder(const std::vector<TaskShape>& tasks, int64_t capacity_milli,
                                 Dice& dice) {
  std::vector<size_t> order(tasks.size());
  int64_t asked = 0;
  for (size_t i = 0; i < tasks.size(); ++i) {
    order[i] = i;
    asked += MilliOf(tasks[i]);
  }
  dice.Shuffle(order);
  const double target = kTargetLoad * static_cast<double>(capacity_milli);
  while (static_cast<double>(asked) > target) {
    const size_t i = dice.Below(order.size());
    asked -= MilliOf(tasks[order[i]]);
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (order.size() < tasks.size()) return order;
  while (true) {
    const size_t i = dice.Below(tasks.size());
    // As published: the share, not multiplied by the number of GPUs.
    const int64_t share = tasks[i].devices.empty() ? 0 : tasks[i].devices[0].milli;
    if (static_cast<double>(asked + share) > target) return order;
    asked += MilliOf(tasks[i]);
    order.push_back(i);
  }
}

NodeState EmptyNode(const NodeSpec& spec, int32_t rank) {
  NodeState node;
  node.spec = spec;
  node.cpu_milli_free = spec.cpu_milli;
  node.memory_bytes_free = spec.memory_bytes;
  node.rank = rank;
  for (const DeviceSpec& device : spec.devices) {
    DeviceState state;
    state.memory_free = device.memory_bytes;
    node.devices.push_back(state);
  }
  return node;
}

void Take(NodeState& node, const TaskShape& shape, const DeviceAlternative* device, int chosen) {
  node.cpu_milli_free -= shape.cpu_milli;
  node.memory_bytes_free -= shape.memory_bytes;
  ++node.num_tasks;
  if (device == nullptr) return;
  ++node.num_tasks_by_class[DeviceClassOf(*device)];
  if (device->milli < kWholeDevice) {
    node.devices[chosen].milli_free -= device->milli;
    return;
  }
  int32_t missing = device->count;
  for (DeviceState& state : node.devices) {
    if (missing > 0 && state.milli_free == kWholeDevice) {
      state.milli_free = 0;
      --missing;
    }
  }
}

// Tasks that differ in memory only are one class: no score looks at memory.
struct TaskClass {
  TaskShape shape;
  std::vector<const DeviceAlternative*> by_node_kind;  // null: the kind is not accepted
  // The scores of the nodes, kept until a node changes. score < 0: no room.
  std::vector<NodeScore> scores;
  size_t num_changes_seen = 0;
};

class FgdSimulation {
 public:
  FgdSimulation(const std::vector<NodeSpec>& nodes, const std::vector<TaskShape>& tasks,
                ScorePolicy policy, uint64_t seed, Dice& dice);

  // Whether the task found a place.
  bool Place(size_t task);
  double FragmentedMilli() const { return fragmented_; }
  int64_t capacity_milli() const { return capacity_milli_; }

 private:
  void SortIntoClasses(const std::vector<TaskShape>& tasks);
  const DeviceAlternative* DeviceOn(const TaskClass& task, size_t node) const {
    return task.shape.devices.empty() ? nullptr : task.by_node_kind[kind_of_node_[node]];
  }
  bool HasRoom(const TaskClass& task, size_t node) const;
  void Rescore(TaskClass& task, size_t node);
  void BringUpToDate(TaskClass& task);

  std::vector<NodeState> nodes_;  // in their steady order
  std::vector<int> kind_of_node_;
  std::vector<std::string> kinds_;
  std::vector<TaskClass> classes_;
  std::vector<size_t> class_of_task_;
  std::vector<int64_t> memory_of_task_;
  std::unique_ptr<Scorer> scorer_;
  FragmentationModel fragmentation_;
  std::vector<double> fragment_of_node_;
  double fragmented_ = 0;
  int64_t capacity_milli_ = 0;
  std::vector<size_t> changes_;  // nodes, one entry a placement
};

FgdSimulation::FgdSimulation(const std::vector<NodeSpec>& nodes,
                             const std::vector<TaskShape>& tasks, ScorePolicy policy, uint64_t seed,
                             Dice& dice)
    : fragmentation_(TypicalTasks(tasks), FragmentRule::kNextTask) {
  scorer_ = MakeScorer(policy, TypicalTasks(tasks, DemandCoverage(policy)), seed);
  std::vector<size_t> order(nodes.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  dice.Shuffle(order);
  for (size_t i = 0; i < order.size(); ++i) {
    const NodeSpec& spec = nodes[order[i]];
    nodes_.push_back(EmptyNode(spec, static_cast<int32_t>(i)));
    const std::string& kind = spec.devices[0].kind;
    const auto known = std::find(kinds_.begin(), kinds_.end(), kind);
    kind_of_node_.push_back(static_cast<int>(known - kinds_.begin()));
    if (known == kinds_.end()) kinds_.push_back(kind);
    capacity_milli_ += int64_t{kWholeDevice} * static_cast<int64_t>(spec.devices.size());
    fragment_of_node_.push_back(fragmentation_.Of(fragmentation_.Profile(nodes_.back())));
    fragmented_ += fragment_of_node_.back();
  }
  SortIntoClasses(tasks);
}

void FgdSimulation::SortIntoClasses(const std::vector<TaskShape>& tasks) {
  std::map<std::pair<int64_t, std::vector<std::string>>, size_t> index;
  for (const TaskShape& task : tasks) {
    std::pair<int64_t, std::vector<std::string>> key{task.cpu_milli, {}};
    for (const DeviceAlternative& device : task.devices) {
      key.second.push_back(device.kind);
      key.second.push_back(std::to_string(device.milli) + "x" + std::to_string(device.count));
    }
    const auto [entry, is_new] = index.emplace(std::move(key), classes_.size());
    if (is_new) {
      classes_.emplace_back();
      classes_.back().shape = task;
      classes_.back().shape.memory_bytes = 0;
    }
    class_of_task_.push_back(entry->second);
    memory_of_task_.push_back(task.memory_bytes);
  }
  for (TaskClass& task : classes_) {
    for (const std::string& kind : kinds_) {
      task.by_node_kind.push_back(nullptr);
      for (const DeviceAlternative& device : task.shape.devices) {
        if (device.kind == kind) task.by_node_kind.back() = &device;
      }
    }
  }
}

bool FgdSimulation::HasRoom(const TaskClass& task, size_t node) const {
  const NodeState& state = nodes_[node];
  if (state.cpu_milli_free < task.shape.cpu_milli) return false;
  if (task.shape.devices.empty()) return true;
  const DeviceAlternative* device = DeviceOn(task, node);
  if (device == nullptr) return false;
  int32_t count = 0;
  for (const DeviceState& d : state.devices) count += d.milli_free >= device->milli ? 1 : 0;
  return count >= device->count;
}

void FgdSimulation::Rescore(TaskClass& task, size_t node) {
  task.scores[node] = HasRoom(task, node)
                          ? scorer_->Score(nodes_[node], task.shape, DeviceOn(task, node))
                          : NodeScore{-1, -1};
}

void FgdSimulation::BringUpToDate(TaskClass& task) {
  const bool start = task.scores.empty();
  if (start || !scorer_->IsLocal()) {
    task.scores.resize(nodes_.size());
    for (size_t node = 0; node < nodes_.size(); ++node) Rescore(task, node);
  } else {
    std::vector<size_t> changed(
        changes_.begin() + static_cast<std::ptrdiff_t>(task.num_changes_seen), changes_.end());
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    for (size_t node : changed) Rescore(task, node);
  }
  task.num_changes_seen = changes_.size();
}

bool FgdSimulation::Place(size_t task_index) {
  TaskClass& task = classes_[class_of_task_[task_index]];
  BringUpToDate(task);
  const int64_t memory = memory_of_task_[task_index];
  int best_score = -1;
  size_t best = 0;
  for (size_t node = 0; node < nodes_.size(); ++node) {  // the first of equals stays
    if (task.scores[node].score > best_score && nodes_[node].memory_bytes_free >= memory) {
      best_score = task.scores[node].score;
      best = node;
    }
  }
  if (best_score < 0) return false;
  NodeState& state = nodes_[best];
  Take(state, task.shape, DeviceOn(task, best), task.scores[best].device);
  state.memory_bytes_free -= memory;
  changes_.push_back(best);
  fragmented_ -= fragment_of_node_[best];
  fragment_of_node_[best] = fragmentation_.Of(fragmentation_.Profile(state));
  fragmented_ += fragment_of_node_[best];
  return true;
}

double RoundedToCents(double value) { return std::round(value * 100) / 100; }

// Means by bin; an empty bin gets the mean of the nearest filled ones on both sides.
std::vector<FgdPoint> MeansOf(const std::vector<FgdPoint>& sums, const std::vector<int64_t>& n) {
  std::vector<FgdPoint> means(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) {
    std::vector<size_t> from = {i};
    if (n[i] == 0) {
      from.clear();
      for (size_t j = i; j-- > 0;) {
        if (n[j] > 0) {
          from.push_back(j);
          break;
        }
      }
      for (size_t j = i + 1; j < sums.size(); ++j) {
        if (n[j] > 0) {
          from.push_back(j);
          break;
        }
      }
    }
    for (size_t j : from) {
      const double weight = 1.0 / static_cast<double>(n[j]) / static_cast<double>(from.size());
      means[i].alloc_pct += weight * sums[j].alloc_pct;
      means[i].frag_amount_pct += weight * sums[j].frag_amount_pct;
      means[i].frag_ratio_pct += weight * sums[j].frag_ratio_pct;
    }
  }
  return means;
}

}  // namespace

FgdRun RunFgd(const std::vector<NodeSpec>& nodes, const std::vector<TaskShape>& tasks,
              ScorePolicy policy, uint64_t seed) {
  Dice dice(seed);
  FgdSimulation simulation(nodes, tasks, policy, seed, dice);
  const auto capacity = static_cast<double>(simulation.capacity_milli());
  const std::vector<size_t> arrivals = ArrivalOrder(tasks, simulation.capacity_milli(), dice);

  FgdRun run;
  std::vector<FgdPoint> sums(kFgdArrivedPctMax + 1);
  std::vector<int64_t> counts(kFgdArrivedPctMax + 1, 0);
  int64_t arrived = 0;
  int64_t allocated = 0;
  for (size_t task : arrivals) {
    const int64_t milli = MilliOf(tasks[task]);
    arrived += milli;
    ++run.num_arrived;
    if (simulation.Place(task)) {
      allocated += milli;
    } else {
      ++run.num_failed;
    }
    const auto bin = std::lround(100.0 * static_cast<double>(arrived) / capacity);
    if (bin > kFgdArrivedPctMax) continue;
    const double idle = capacity - static_cast<double>(allocated);
    sums[bin].alloc_pct += RoundedToCents(100.0 * static_cast<double>(allocated) / capacity);
    sums[bin].frag_amount_pct += 100 * simulation.FragmentedMilli() / capacity;
    sums[bin].frag_ratio_pct += idle > 0 ? 100 * simulation.FragmentedMilli() / idle : 0;
    ++counts[bin];
  }
  run.by_arrived_pct = MeansOf(sums, counts);
  return run;
}

}  // namespace oneai::fabric
