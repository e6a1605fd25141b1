#include "compute_fabric/scheduler/queues/queue_tree.h"

#include <algorithm>

#include "compute_fabric/scheduler/queues/admit.h"
#include "compute_fabric/scheduler/queues/decay.h"
#include "compute_fabric/scheduler/queues/fair_share.h"
#include "compute_fabric/scheduler/queues/reclaim.h"
#include "compute_fabric/scheduler/queues/saturating.h"
#include "compute_fabric/scheduler/queues/tree_data.h"
#include "compute_fabric/scheduler/queues/validation.h"

namespace oneai::fabric {
namespace {

// What is remembered of a queue when the specs change.
struct Remembered {
  std::string path;
  std::vector<int64_t> own_use;
  std::vector<double> decayed;
  std::vector<double> own_decayed;
  QueueUse told;
  bool used = false;
};

bool IsAnyNonZero(const std::vector<int64_t>& amounts) {
  return std::any_of(amounts.begin(), amounts.end(), [](int64_t a) { return a != 0; });
}

bool WasUsed(const QueueNode& node) {
  return !node.told.in_use.empty() || !node.told.decayed.empty();
}

}  // namespace

QueueTree::QueueTree() : data_(std::make_unique<QueueTreeData>()) {}
QueueTree::~QueueTree() = default;
QueueTree::QueueTree(const QueueTree& other)
    : data_(std::make_unique<QueueTreeData>(*other.data_)) {}
QueueTree& QueueTree::operator=(const QueueTree& other) {
  if (this != &other) *data_ = *other.data_;
  return *this;
}

absl::Status QueueTree::Validate(const std::vector<QueueSpec>& specs) {
  return ValidateQueues(specs);
}

absl::Status QueueTree::SetSpecs(const std::vector<QueueSpec>& specs) {
  if (absl::Status status = ValidateQueues(specs); !status.ok()) return status;
  std::vector<Remembered> remembered;
  for (QueueNode& node : data_->nodes) {
    if (!WasUsed(node)) continue;
    remembered.push_back({node.path, node.own_use, node.decayed, node.own_decayed,
                          std::move(node.told), IsAnyNonZero(node.own_use)});
  }
  data_->nodes.clear();
  data_->node_index.clear();
  data_->nodes.emplace_back();
  data_->node_index[""] = 0;
  for (const QueueSpec& spec : specs) {
    for (const Amounts* amounts :
         {&spec.nominal, &spec.borrowing_limit, &spec.lending_limit, &spec.limit}) {
      for (const auto& [resource, amount] : *amounts) data_->AddResource(resource);
    }
  }
  data_->ResizeNodes();
  for (const QueueSpec& spec : specs) data_->nodes[data_->AddNode(spec.path)].spec = spec;
  for (const Remembered& queue : remembered) data_->AddNode(queue.path);
  data_->Resolve();
  for (Remembered& queue : remembered) {
    const int n = data_->FindNode(queue.path);
    QueueNode& node = data_->nodes[n];
    std::copy(queue.decayed.begin(), queue.decayed.end(), node.decayed.begin());
    std::copy(queue.own_decayed.begin(), queue.own_decayed.end(), node.own_decayed.begin());
    node.told.decayed = std::move(queue.told.decayed);
    node.told.decayed_at = queue.told.decayed_at;
    for (size_t r = 0; queue.used && r < queue.own_use.size(); ++r) {
      if (queue.own_use[r] != 0) data_->AddUse(n, static_cast<int>(r), queue.own_use[r]);
    }
  }
  return absl::OkStatus();
}

void QueueTree::SetCapacity(const Amounts& capacity) {
  bool changed = false;
  for (const auto& [resource, amount] : capacity) data_->AddResource(resource);
  for (int r = 0; r < data_->num_resources(); ++r) {
    const auto found = capacity.find(data_->resources[r]);
    const int64_t amount = found == capacity.end() ? 0 : found->second;
    changed = changed || data_->capacity[r] != amount;
    data_->capacity[r] = amount;
  }
  if (changed) data_->ResolveRoot();
}

void QueueTree::Charge(absl::string_view path, const Amounts& amounts, int64_t times) {
  const int node = data_->AddNode(path);
  for (const auto& [resource, amount] : amounts) {
    if (amount == 0 || times == 0) continue;
    data_->AddUse(node, data_->AddResource(resource), SaturatingMultiply(amount, times));
  }
  ++data_->version;
}

void QueueTree::Decay(absl::Time now, absl::Duration half_life) {
  data_->half_life = half_life;
  const absl::Time from = data_->decayed_at;
  if (from != absl::InfinitePast() && now <= from) return;
  data_->decayed_at = now;
  ++data_->version;
  // The first call only starts the clock.
  const absl::Duration elapsed = from == absl::InfinitePast() ? absl::ZeroDuration() : now - from;
  for (QueueNode& node : data_->nodes) {
    if (!WasUsed(node)) continue;
    node.told.decayed_at = now;
    for (int r = 0; r < data_->num_resources(); ++r) {
      if (node.use[r] == 0 && node.decayed[r] == 0 && node.own_decayed[r] == 0) continue;
      node.decayed[r] =
          DecayUse(node.decayed[r], static_cast<double>(node.use[r]), elapsed, half_life);
      node.own_decayed[r] =
          DecayUse(node.own_decayed[r], static_cast<double>(node.own_use[r]), elapsed, half_life);
      node.told.decayed[data_->resources[r]] = node.decayed[r];
    }
  }
}

Admission QueueTree::Admit(absl::string_view path, const Amounts& amounts) const {
  return AdmitAmounts(*data_, path, amounts);
}

bool QueueTree::GoesBefore(absl::string_view a, absl::string_view b) const {
  const Parting parting = PartingOf(*data_, a, b);
  return RanksBefore(RankOfSide(*data_, parting.a), RankOfSide(*data_, parting.b));
}

double QueueTree::DominantShare(absl::string_view path, const Amounts& more) const {
  const int node = data_->FindNode(path);
  if (node == 0) return 0;
  const QueueSide side =
      node < 0 ? QueueSide{data_->NearestNode(path), -1, true} : SideOf(*data_, node);
  return OwnShare(*data_, side, ToDense(*data_, more));
}

double QueueTree::DecayedShare(absl::string_view path) const {
  const int node = data_->FindNode(path);
  return node <= 0 ? 0 : OwnDecayedShare(*data_, SideOf(*data_, node));
}

std::optional<int> QueueTree::NumberOf(absl::string_view path) const {
  const int node = data_->FindNode(path);
  return node < 0 ? std::nullopt : std::optional<int>(node);
}

QueueRank QueueTree::RankOf(int number) const {
  return number == 0 ? QueueRank() : RankOfSide(*data_, SideOf(*data_, number));
}

QueueRank QueueTree::RankOfOwnJobs(int number) const {
  return RankOfSide(*data_, {number, kOwnJobs, true});
}

QueueRank QueueTree::RankOf(absl::string_view path) const {
  const int node = data_->FindNode(path);
  if (node < 0) {
    // Below a queue that does not exist yet either, there is nobody to rank against.
    const int parent = data_->FindNode(ParentPath(path));
    if (parent < 0) return {.rest = true};
    return RankOfSide(*data_, {parent, kNobodyYet, true});
  }
  return RankOf(node);
}

QueueRank QueueTree::RankOfOwnJobs(absl::string_view path) const {
  const int node = data_->FindNode(path);
  if (node < 0) return {.rest = true};
  return RankOfOwnJobs(node);
}

uint64_t QueueTree::version() const { return data_->version; }

bool QueueTree::MayReclaim(absl::string_view taker, const Amounts& amounts, absl::string_view owner,
                           const Amounts& held) const {
  return fabric::MayReclaim(*data_, taker, amounts, owner, held);
}

bool QueueTree::MightReclaim(absl::string_view taker, const Amounts& amounts,
                             absl::string_view owner) const {
  return fabric::MightReclaim(*data_, taker, amounts, owner);
}

std::vector<std::string> QueueTree::Borrowers() const {
  std::vector<std::string> paths;
  for (size_t n = 0; n < data_->nodes.size(); ++n) {
    if (MightGiveBack(*data_, static_cast<int>(n))) paths.push_back(data_->nodes[n].path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool QueueTree::TakesOwnReserve(absl::string_view path, const Amounts& amounts) const {
  return fabric::TakesOwnReserve(*data_, path, amounts);
}

const QueueSpec* QueueTree::FindSpec(absl::string_view path) const {
  const int node = data_->FindNode(path);
  if (node < 0 || !data_->nodes[node].spec) return nullptr;
  return &*data_->nodes[node].spec;
}

const QueueUse* QueueTree::FindUse(absl::string_view path) const {
  const int node = data_->FindNode(path);
  return node < 0 || !WasUsed(data_->nodes[node]) ? nullptr : &data_->nodes[node].told;
}

std::vector<std::string> QueueTree::Paths() const {
  std::vector<std::string> paths;
  for (const QueueNode& node : data_->nodes) {
    if (node.spec || WasUsed(node)) paths.push_back(node.path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace oneai::fabric
