#include <map>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {
namespace {

void Compare(absl::string_view what, int64_t kept, int64_t computed,
             std::vector<std::string>& differences) {
  if (kept == computed) return;
  differences.push_back(absl::StrCat(what, ": kept ", kept, ", computed ", computed));
}

// A name that is absent is 0.
void CompareAmounts(absl::string_view what, const Amounts& kept, const Amounts& computed,
                    std::vector<std::string>& differences) {
  Amounts difference = kept;
  Add(difference, computed, -1);
  for (const auto& [name, amount] : difference) {
    if (amount == 0) continue;
    differences.push_back(
        absl::StrCat(what, " of ", name, ": kept ", amount, " more than what is computed anew"));
  }
}

void CompareNodes(const NodeState& kept, const NodeState& computed,
                  std::vector<std::string>& differences) {
  const std::string& name = kept.spec.name;
  Compare(absl::StrCat(name, " CPU free"), kept.cpu_milli_free, computed.cpu_milli_free,
          differences);
  Compare(absl::StrCat(name, " memory free"), kept.memory_bytes_free, computed.memory_bytes_free,
          differences);
  Compare(absl::StrCat(name, " ports free"), kept.num_ports_free, computed.num_ports_free,
          differences);
  Compare(absl::StrCat(name, " tasks"), kept.num_tasks, computed.num_tasks, differences);
  if (kept.num_tasks_by_class != computed.num_tasks_by_class) {
    differences.push_back(absl::StrCat(name, " tasks by class differ"));
  }
  if (kept.ports_used != computed.ports_used) {
    differences.push_back(absl::StrCat(name, " ports used differ"));
  }
  for (size_t i = 0; i < kept.devices.size(); ++i) {
    const std::string device = absl::StrCat(name, " device ", kept.spec.devices[i].id);
    Compare(device + " milli free", kept.devices[i].milli_free, computed.devices[i].milli_free,
            differences);
    Compare(device + " memory free", kept.devices[i].memory_free, computed.devices[i].memory_free,
            differences);
  }
}

// A queue counts in all that contain it, up to the root.
void CountInPath(absl::string_view path, const Amounts& amounts,
                 std::map<std::string, Amounts>& use) {
  while (true) {
    Add(use[std::string(path)], amounts);
    if (path.empty()) return;
    const size_t slash = path.rfind('/');
    path = slash == absl::string_view::npos ? absl::string_view() : path.substr(0, slash);
  }
}

}  // namespace

std::vector<std::string> CheckInvariants(const SchedulerState& state) {
  std::vector<std::string> differences;
  ClusterState cluster;
  for (NodeIndex i = 0; i < state.cluster.num_indexes(); ++i) {
    if (state.cluster.IsNode(i)) cluster.SetNode(state.cluster.node(i).spec);
  }
  std::map<std::string, Amounts> use;
  int64_t num_waiting = 0;
  state.jobs.VisitAll([&](const JobView& job) {
    for (const TaskPlacement& task : job.placed) cluster.TakeExactly(job.shape, task);
    if (!job.placed.empty()) CountInPath(job.queue, AmountsOfTasks(job.shape, job.placed), use);
    num_waiting += IsWaiting(job) ? 1 : 0;
  });
  Compare("waiting jobs", state.jobs.num_waiting(), num_waiting, differences);
  Compare("nodes", state.cluster.num_nodes(), cluster.num_nodes(), differences);
  for (NodeIndex i = 0; i < state.cluster.num_indexes(); ++i) {
    if (!state.cluster.IsNode(i)) continue;
    const NodeState& kept = state.cluster.node(i);
    CompareNodes(kept, cluster.node(cluster.Find(kept.spec.name)), differences);
  }
  CompareAmounts("capacity", state.cluster.capacity(), cluster.capacity(), differences);
  CompareAmounts("free", state.cluster.free(), cluster.free(), differences);
  for (const std::string& path : state.queues.Paths()) {
    const QueueUse* kept = state.queues.FindUse(path);
    CompareAmounts(absl::StrCat("use by queue \"", path, "\""),
                   kept == nullptr ? Amounts() : kept->in_use, use[path], differences);
    use.erase(path);
  }
  for (const auto& [path, amounts] : use) {
    CompareAmounts(absl::StrCat("use by queue \"", path, "\""), {}, amounts, differences);
  }
  return differences;
}

std::vector<std::string> FindOverAllocation(const ClusterState& cluster) {
  std::vector<std::string> found;
  for (NodeIndex i = 0; i < cluster.num_indexes(); ++i) {
    const NodeState& node = cluster.node(i);
    const auto check = [&](absl::string_view what, int64_t free) {
      if (free < 0) found.push_back(absl::StrCat(node.spec.name, " ", what, ": ", free));
    };
    check("CPU", node.cpu_milli_free);
    check("memory", node.memory_bytes_free);
    for (size_t d = 0; d < node.devices.size(); ++d) {
      check(node.spec.devices[d].id, node.devices[d].milli_free);
      check(absl::StrCat(node.spec.devices[d].id, " memory"), node.devices[d].memory_free);
    }
    for (size_t p = 1; p < node.ports_used.size(); ++p) {
      if (node.ports_used[p] == node.ports_used[p - 1]) {
        found.push_back(absl::StrCat(node.spec.name, " port ", node.ports_used[p], " twice"));
      }
    }
  }
  return found;
}

}  // namespace oneai::fabric
