// File: compute_fabric/scheduler/queues/tree_data.h
//
// The tree as dense arrays, for the files of this folder: queues by number, resources by number.
// Paths and names appear only at the edge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

struct QueueNode {
  std::string path;
  int parent = -1;  // -1: the root
  std::vector<int> children;
  std::optional<QueueSpec> spec;
  double weight = 1;

  // What the specs say, by resource. Without nominal the queue belongs to its parent's rest.
  bool has_nominal = false;
  std::vector<int64_t> nominal;
  std::vector<int64_t> kept;         // of nominal, not lent
  std::vector<int64_t> borrowing;    // kUnlimited: no limit
  std::vector<int64_t> limit;        // kUnlimited: no limit
  std::vector<int64_t> of_children;  // sum of the nominals of children
  std::vector<int64_t> leftover;     // nominal that no child has: the rest's

  // What is in use, by resource.
  std::vector<int64_t> use;       // with children
  std::vector<int64_t> own_use;   // of jobs directly here
  std::vector<int64_t> rest_use;  // own_use and that of children without nominal
  // What nobody outside can have: use, and idle nominal that is kept, here or below.
  std::vector<int64_t> footprint;
  std::vector<int64_t> child_footprint;  // sum over children
  std::vector<double> decayed;           // resource-seconds of `use`
  std::vector<double> own_decayed;       // of `own_use`
  QueueUse told;                         // the same by name, for FindUse
};

absl::string_view ParentPath(absl::string_view path);  // "" above a unit

struct QueueTreeData {
  std::vector<std::string> resources;
  absl::flat_hash_map<std::string, int> resource_index;
  std::vector<char> divided;      // by resource: some nominal names it
  std::vector<int64_t> capacity;  // by resource, of the root
  std::vector<QueueNode> nodes;   // parents before children; 0 is the root
  absl::flat_hash_map<std::string, int> node_index;
  absl::Time decayed_at = absl::InfinitePast();
  absl::Duration half_life = absl::ZeroDuration();
  uint64_t version = 0;

  QueueTreeData();
  int num_resources() const { return static_cast<int>(resources.size()); }
  int FindResource(absl::string_view name) const;  // -1
  int AddResource(const std::string& name);        // finds or makes
  int FindNode(absl::string_view path) const;      // -1
  int AddNode(absl::string_view path);             // finds or makes, with all above it
  // The queue, or the deepest one above it that exists.
  int NearestNode(absl::string_view path) const;

  void ResizeNodes();  // to the number of resources
  // Works out nominal, kept, limits and leftover from specs and capacity; O(queues).
  void Resolve();
  // The part of it that capacity changes: the root's; O(resources).
  void ResolveRoot();
  // Books use (negative: gives back) of jobs directly in `node`.
  void AddUse(int node, int resource, int64_t amount);
};

inline constexpr int kOwnJobs = -1;    // not in a child: directly in the queue
inline constexpr int kNobodyYet = -2;  // in a child that does not exist yet, and so uses nothing

// Where a job stands among the children of one queue: in a child, or in the rest.
struct QueueSide {
  int parent = 0;
  int child = kOwnJobs;
  bool in_rest = true;
};

// The sides of two queues at the deepest queue that contains both.
struct Parting {
  QueueSide a;
  QueueSide b;
};
Parting PartingOf(const QueueTreeData& data, absl::string_view a, absl::string_view b);
QueueSide SideOf(const QueueTreeData& data, int node);  // precondition: not the root

// By resource number; resources the tree has never heard of are not divided and are left out.
using DenseAmounts = absl::InlinedVector<std::pair<int, int64_t>, 6>;
DenseAmounts ToDense(const QueueTreeData& data, const Amounts& amounts);

}  // namespace oneai::fabric
