#include "compute_fabric/scheduler/candidate_index.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "compute_fabric/scheduler/shape_candidates.h"

namespace oneai::fabric {
namespace {

// Shapes whose candidates are kept; the least recently used half goes when there are more.
constexpr size_t kShapesMax = 512;
// Demand is looked at in steps of 1/256 of its tasks.
constexpr double kSampleSize = 256;
// How much of demand may shift before nodes are scored anew.
constexpr double kDriftMax = 0.1;

// What tells candidates apart: everything that filter and score look at.
struct ShapeKey {
  TaskShape shape;  // without alternatives
  std::optional<DeviceAlternative> device;
};
struct ShapeKeyRef {
  const TaskShape* shape;
  const DeviceAlternative* device;
  explicit ShapeKeyRef(const ShapeKey& key)
      : shape(&key.shape), device(key.device ? &*key.device : nullptr) {}
  ShapeKeyRef(const TaskShape* s, const DeviceAlternative* d) : shape(s), device(d) {}
};

struct ShapeKeyHash {
  using is_transparent = void;
  size_t operator()(const ShapeKey& key) const { return (*this)(ShapeKeyRef(key)); }
  size_t operator()(const ShapeKeyRef& key) const {
    const TaskShape& s = *key.shape;
    size_t hash = absl::HashOf(s.cpu_milli, s.memory_bytes, s.num_ports, s.node_selector.size());
    for (const auto& [name, value] : s.node_selector) hash = absl::HashOf(hash, name, value);
    if (key.device == nullptr) return hash;
    return absl::HashOf(hash, key.device->kind, key.device->count, key.device->milli,
                        key.device->memory_bytes);
  }
};
struct ShapeKeyEq {
  using is_transparent = void;
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return Equal(ShapeKeyRef(a), ShapeKeyRef(b));
  }
  static bool Equal(const ShapeKeyRef& a, const ShapeKeyRef& b) {
    if (a.shape->cpu_milli != b.shape->cpu_milli ||
        a.shape->memory_bytes != b.shape->memory_bytes ||
        a.shape->num_ports != b.shape->num_ports ||
        a.shape->node_selector != b.shape->node_selector ||
        (a.device == nullptr) != (b.device == nullptr)) {
      return false;
    }
    return a.device == nullptr ||
           (a.device->kind == b.device->kind && a.device->count == b.device->count &&
            a.device->milli == b.device->milli && a.device->memory_bytes == b.device->memory_bytes);
  }
};

struct Shape {
  std::unique_ptr<KeptCandidates> candidates;
  uint64_t used = 0;
};

using Demand = std::vector<std::pair<TaskShape, double>>;  // share of all tasks, in a steady order

Demand DemandOf(const JobTable& jobs) {
  Demand demand;
  double total = 0;
  jobs.VisitShapes([&](const TaskShape& shape, int64_t num_tasks) {
    demand.emplace_back(shape, static_cast<double>(num_tasks));
    total += static_cast<double>(num_tasks);
  });
  for (auto& [shape, share] : demand) share /= std::max(total, 1.0);
  return demand;
}

// Share of the tasks that are of other shapes in `a` than in `b` (total variation distance). Both
// are in the order of JobTable::VisitShapes but for shapes that only one has.
double Drift(const Demand& a, const Demand& b) {
  double sum = 0;
  std::vector<bool> met(b.size(), false);
  size_t from = 0;
  for (const auto& [shape, share] : a) {
    size_t at = from;
    while (at < b.size() && !(b[at].first == shape)) ++at;
    if (at == b.size()) {
      sum += share;
      continue;
    }
    sum += std::abs(share - b[at].second);
    met[at] = true;
    from = at + 1;
  }
  for (size_t i = 0; i < b.size(); ++i) {
    if (!met[i]) sum += b[i].second;
  }
  return sum / 2;
}

// The demand as so many tasks: TypicalTasks wants them one by one.
std::vector<TaskShape> SampleOf(const Demand& demand) {
  std::vector<TaskShape> sample;
  for (const auto& [shape, share] : demand) {
    sample.insert(sample.end(), static_cast<size_t>(std::lround(share * kSampleSize)), shape);
  }
  return sample;
}

}  // namespace

struct CandidateIndex::Impl {
  std::unique_ptr<Scorer> scorer;
  ScorePolicy score_policy = ScorePolicy::kOneai;
  uint64_t seed = 0;
  Demand demand;
  std::optional<std::vector<TypicalTask>> fixed;
  NodeLayout layout;
  absl::flat_hash_map<ShapeKey, Shape, ShapeKeyHash, ShapeKeyEq> shapes;
  uint64_t clock = 0;
  std::unique_ptr<ComputedCandidates> computed;

  void DropLeastUsed();
};

CandidateIndex::CandidateIndex() : impl_(std::make_unique<Impl>()) {}
CandidateIndex::~CandidateIndex() = default;
CandidateIndex::CandidateIndex(const CandidateIndex& other) : CandidateIndex() {
  impl_->fixed = other.impl_->fixed;
  // The same demand, so that a copy scores as the original does.
  impl_->demand = other.impl_->demand;
}
CandidateIndex& CandidateIndex::operator=(const CandidateIndex& other) {
  if (this != &other) impl_ = std::move(CandidateIndex(other).impl_);
  return *this;
}

void CandidateIndex::Follow(const JobTable& jobs, const Policy& policy) {
  Demand demand = DemandOf(jobs);
  const bool drifted =
      !impl_->fixed && (impl_->demand.empty() || Drift(demand, impl_->demand) > kDriftMax);
  if (IsBoundTo(policy) && !drifted) return;
  if (drifted) impl_->demand = std::move(demand);
  impl_->score_policy = policy.score;
  impl_->seed = policy.seed;
  impl_->scorer =
      MakeScorer(policy.score,
                 impl_->fixed ? *impl_->fixed
                              : TypicalTasks(SampleOf(impl_->demand), DemandCoverage(policy.score)),
                 policy.seed);
  impl_->shapes.clear();
}

void CandidateIndex::FixTypicalTasks(std::vector<TypicalTask> typical_tasks) {
  impl_->fixed = std::move(typical_tasks);
  impl_->scorer.reset();
}

bool CandidateIndex::IsBoundTo(const Policy& policy) const {
  return impl_->scorer != nullptr && impl_->score_policy == policy.score &&
         impl_->seed == policy.seed;
}

void CandidateIndex::Impl::DropLeastUsed() {
  std::vector<uint64_t> uses;
  uses.reserve(shapes.size());
  for (const auto& [key, shape] : shapes) uses.push_back(shape.used);
  std::nth_element(uses.begin(), uses.begin() + uses.size() / 2, uses.end());
  const uint64_t median = uses[uses.size() / 2];
  absl::erase_if(shapes, [&](const auto& entry) { return entry.second.used < median; });
}

const ShapeCandidates& CandidateIndex::Of(const ClusterState& cluster, const TaskShape& shape,
                                          const DeviceAlternative* device) {
  if (!impl_->scorer->IsLocal()) {
    impl_->computed = std::make_unique<ComputedCandidates>(cluster, shape, device, *impl_->scorer);
    return *impl_->computed;
  }
  impl_->layout.Follow(cluster);
  auto it = impl_->shapes.find(ShapeKeyRef(&shape, device));
  if (it == impl_->shapes.end()) {
    if (impl_->shapes.size() >= kShapesMax) impl_->DropLeastUsed();
    ShapeKey key;
    key.shape = shape;
    key.shape.devices.clear();
    if (device != nullptr) key.device = *device;
    it = impl_->shapes.try_emplace(std::move(key)).first;
    it->second.candidates = std::make_unique<KeptCandidates>(shape, device);
  }
  it->second.used = ++impl_->clock;
  it->second.candidates->Follow(cluster, impl_->layout, *impl_->scorer);
  return *it->second.candidates;
}

const Scorer& CandidateIndex::scorer() const { return *impl_->scorer; }

}  // namespace oneai::fabric
