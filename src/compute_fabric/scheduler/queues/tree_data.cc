#include "compute_fabric/scheduler/queues/tree_data.h"

#include <algorithm>

#include "absl/types/span.h"
#include "compute_fabric/scheduler/queues/saturating.h"

namespace oneai::fabric {
namespace {

void ResizeNode(QueueNode& node, size_t size) {
  node.nominal.resize(size, 0);
  node.kept.resize(size, 0);
  node.borrowing.resize(size, kUnlimited);
  node.limit.resize(size, kUnlimited);
  node.of_children.resize(size, 0);
  node.leftover.resize(size, kUnlimited);
  node.use.resize(size, 0);
  node.own_use.resize(size, 0);
  node.rest_use.resize(size, 0);
  node.footprint.resize(size, 0);
  node.child_footprint.resize(size, 0);
  node.decayed.resize(size, 0);
  node.own_decayed.resize(size, 0);
}

int64_t ValueOr(const Amounts& amounts, const std::string& name, int64_t otherwise) {
  const auto found = amounts.find(name);
  return found == amounts.end() ? otherwise : found->second;
}

void ResolveSpec(const QueueTreeData& data, QueueNode& node) {
  for (int r = 0; r < data.num_resources(); ++r) {
    const std::string& name = data.resources[r];
    node.kept[r] = 0;
    node.borrowing[r] = kUnlimited;
    node.limit[r] = kUnlimited;
    if (!node.spec) continue;
    node.limit[r] = ValueOr(node.spec->limit, name, kUnlimited);
    node.borrowing[r] = ValueOr(node.spec->borrowing_limit, name, kUnlimited);
    if (!node.has_nominal) continue;
    const int64_t lent = node.spec->sandbox ? 0
                                            : ValueOr(node.spec->lending_limit, name,
                                                      /*otherwise=*/node.nominal[r]);
    node.kept[r] = std::max<int64_t>(0, node.nominal[r] - lent);
  }
}

// Nominal of one queue, its children's being known.
void ResolveNominal(QueueTreeData& data, int index) {
  QueueNode& node = data.nodes[index];
  node.weight = node.spec ? node.spec->weight : 1;
  const bool written = node.spec && !node.spec->nominal.empty();
  node.has_nominal = written;
  std::fill(node.of_children.begin(), node.of_children.end(), 0);
  for (const int c : node.children) {
    const QueueNode& child = data.nodes[c];
    if (!child.has_nominal) continue;
    // Sandboxes alone do not make a unit one that somebody has set up.
    if (!child.spec || !child.spec->sandbox) node.has_nominal = true;
    for (int r = 0; r < data.num_resources(); ++r) {
      node.of_children[r] = SaturatingAdd(node.of_children[r], child.nominal[r]);
    }
  }
  for (int r = 0; r < data.num_resources(); ++r) {
    node.nominal[r] =
        written ? ValueOr(node.spec->nominal, data.resources[r], 0) : node.of_children[r];
    node.leftover[r] = !node.has_nominal || !data.divided[r]
                           ? kUnlimited
                           : std::max<int64_t>(0, node.nominal[r] - node.of_children[r]);
  }
  ResolveSpec(data, node);
}

// Sums of use that depend on who has a nominal, its children's being known.
void ResolveUse(const QueueTreeData& data, QueueNode& node) {
  for (int r = 0; r < data.num_resources(); ++r) {
    node.rest_use[r] = node.own_use[r];
    node.child_footprint[r] = 0;
    for (const int c : node.children) {
      const QueueNode& child = data.nodes[c];
      if (!child.has_nominal) node.rest_use[r] = SaturatingAdd(node.rest_use[r], child.use[r]);
      node.child_footprint[r] = SaturatingAdd(node.child_footprint[r], child.footprint[r]);
    }
    node.footprint[r] =
        std::max(node.kept[r], SaturatingAdd(node.own_use[r], node.child_footprint[r]));
  }
}

}  // namespace

absl::string_view ParentPath(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? absl::string_view() : path.substr(0, slash);
}

QueueTreeData::QueueTreeData() {
  nodes.emplace_back();
  node_index[""] = 0;
}

int QueueTreeData::FindResource(absl::string_view name) const {
  const auto found = resource_index.find(name);
  return found == resource_index.end() ? -1 : found->second;
}

int QueueTreeData::AddResource(const std::string& name) {
  const auto [found, inserted] = resource_index.emplace(name, num_resources());
  if (!inserted) return found->second;
  resources.push_back(name);
  divided.push_back(0);
  capacity.push_back(0);
  ResizeNodes();
  return num_resources() - 1;
}

void QueueTreeData::ResizeNodes() {
  for (QueueNode& node : nodes) ResizeNode(node, resources.size());
}

int QueueTreeData::FindNode(absl::string_view path) const {
  const auto found = node_index.find(path);
  return found == node_index.end() ? -1 : found->second;
}

int QueueTreeData::AddNode(absl::string_view path) {
  const int found = FindNode(path);
  if (found >= 0) return found;
  const int parent = AddNode(ParentPath(path));
  const int index = static_cast<int>(nodes.size());
  nodes.emplace_back();
  QueueNode& node = nodes.back();
  node.path = std::string(path);
  node.parent = parent;
  ResizeNode(node, resources.size());
  nodes[parent].children.push_back(index);
  node_index[node.path] = index;
  return index;
}

int QueueTreeData::NearestNode(absl::string_view path) const {
  for (;;) {
    const int found = FindNode(path);
    if (found >= 0) return found;
    path = ParentPath(path);
  }
}

void QueueTreeData::Resolve() {
  std::fill(divided.begin(), divided.end(), 0);
  for (const QueueNode& node : nodes) {
    if (!node.spec) continue;
    for (const auto& [name, amount] : node.spec->nominal) divided[FindResource(name)] = 1;
  }
  // Children stand behind their parents: sums go up.
  for (int i = static_cast<int>(nodes.size()) - 1; i > 0; --i) ResolveNominal(*this, i);
  ResolveRoot();
  for (int i = static_cast<int>(nodes.size()) - 1; i >= 0; --i) ResolveUse(*this, nodes[i]);
  ++version;
}

void QueueTreeData::ResolveRoot() {
  ResolveNominal(*this, 0);
  QueueNode& root = nodes[0];
  root.has_nominal = true;
  const bool written = root.spec && !root.spec->nominal.empty();
  for (int r = 0; r < num_resources(); ++r) {
    if (!written) root.nominal[r] = std::max(root.nominal[r], capacity[r]);
    root.leftover[r] =
        divided[r] ? std::max<int64_t>(0, root.nominal[r] - root.of_children[r]) : kUnlimited;
  }
  ++version;
}

void QueueTreeData::AddUse(int index, int r, int64_t amount) {
  nodes[index].own_use[r] = SaturatingAdd(nodes[index].own_use[r], amount);
  nodes[index].rest_use[r] = SaturatingAdd(nodes[index].rest_use[r], amount);
  int64_t change = 0;  // of the child's footprint
  for (int n = index; n >= 0; n = nodes[n].parent) {
    QueueNode& node = nodes[n];
    node.use[r] = SaturatingAdd(node.use[r], amount);
    if (node.use[r] == 0) {
      node.told.in_use.erase(resources[r]);
    } else {
      node.told.in_use[resources[r]] = node.use[r];
    }
    if (node.parent >= 0 && !node.has_nominal) {
      int64_t& rest_use = nodes[node.parent].rest_use[r];
      rest_use = SaturatingAdd(rest_use, amount);
    }
    node.child_footprint[r] = SaturatingAdd(node.child_footprint[r], change);
    const int64_t footprint =
        std::max(node.kept[r], SaturatingAdd(node.own_use[r], node.child_footprint[r]));
    change = footprint - node.footprint[r];
    node.footprint[r] = footprint;
  }
}

QueueSide SideOf(const QueueTreeData& data, int node) {
  return {data.nodes[node].parent, node, !data.nodes[node].has_nominal};
}

Parting PartingOf(const QueueTreeData& data, absl::string_view a, absl::string_view b) {
  const auto chain = [&](absl::string_view path) {
    absl::InlinedVector<int, 8> nodes;
    for (int n = data.NearestNode(path); n >= 0; n = data.nodes[n].parent) nodes.push_back(n);
    std::reverse(nodes.begin(), nodes.end());
    return nodes;
  };
  const absl::InlinedVector<int, 8> chain_a = chain(a);
  const absl::InlinedVector<int, 8> chain_b = chain(b);
  size_t depth = 0;
  while (depth < chain_a.size() && depth < chain_b.size() && chain_a[depth] == chain_b[depth]) {
    ++depth;
  }
  const auto side = [&](absl::Span<const int> nodes, absl::string_view path) {
    if (depth < nodes.size()) return SideOf(data, nodes[depth]);
    const int parent = nodes[depth - 1];
    const bool is_parent = data.nodes[parent].path == path;
    return QueueSide{parent, is_parent ? kOwnJobs : kNobodyYet, /*in_rest=*/true};
  };
  return {side(chain_a, a), side(chain_b, b)};
}

DenseAmounts ToDense(const QueueTreeData& data, const Amounts& amounts) {
  DenseAmounts dense;
  for (const auto& [name, amount] : amounts) {
    const int r = data.FindResource(name);
    if (r >= 0 && amount != 0) dense.emplace_back(r, amount);
  }
  return dense;
}

}  // namespace oneai::fabric
