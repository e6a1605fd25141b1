// The promises of ground_truth.h that a commit of a job can break: where it is placed, what it
// holds, when its turn is.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/simulation/ground_truth.h"
#include "compute_fabric/simulation/held_amounts.h"

namespace oneai::fabric::simulation {
namespace {

// A job that had to give way more often than this in one simulation gives way for ever.
constexpr int kPreemptionsMax = 30;

// A project and the unit above it.
std::vector<std::string> QueuesAbove(const std::string& project) {
  return {project, project.substr(0, project.find('/'))};
}

// Of the most that a queue may hold: nothing is said.
constexpr int64_t kNoBound = 0;

int64_t LimitOf(const v1::Queue& queue, const std::string& resource) {
  if (const auto it = queue.limit().find(resource); it != queue.limit().end()) return it->second;
  if (resource == "cpu") return queue.cpu_milli_limit();
  const auto it = queue.device_limit().find(resource);
  return it == queue.device_limit().end() ? kNoBound : it->second * kWholeDevice;
}

int64_t BorrowingBoundOf(const v1::Queue& queue, const std::string& resource) {
  const auto nominal = queue.nominal().find(resource);
  const auto borrowed = queue.borrowing_limit().find(resource);
  if (nominal == queue.nominal().end() || borrowed == queue.borrowing_limit().end())
    return kNoBound;
  return nominal->second + borrowed->second;
}

}  // namespace

void GroundTruth::TakeDevices(const v1::Job* before, const v1::Job& after) {
  if (before != nullptr) {
    for (const v1::Task& task : before->tasks()) {
      for (const auto& [id, milli] : DevicesOf(task))
        held_[{task.node(), id}].erase({after.id(), task.rank()});
    }
  }
  for (const v1::Task& task : after.tasks()) {
    if (!IsActive(task.state())) continue;
    for (const auto& [id, milli] : DevicesOf(task)) {
      std::map<Holder, int>& holders = held_[{task.node(), id}];
      holders[{after.id(), task.rank()}] = milli;
      int sum = 0;
      std::string who;
      for (const auto& [holder, share] : holders) {
        sum += share;
        absl::StrAppend(&who, " ", holder.first, "/", holder.second);
      }
      if (sum > kWholeDevice) {
        Violate("no device held twice",
                absl::StrCat(id, " of ", task.node(), " is promised for ", sum, "/1000 to", who),
                {after.id(), task.node()});
      }
    }
  }
}

void GroundTruth::TakeQuota(const v1::Job* before, const v1::Job& after) {
  std::map<std::string, int64_t> rise = UseOf(after);
  if (before != nullptr) {
    for (const auto& [resource, amount] : UseOf(*before)) rise[resource] -= amount;
  }
  for (const std::string& path : QueuesAbove(after.spec().project())) {
    const v1::Queue& queue = queues_[path];
    for (const auto& [resource, amount] : rise) {
      int64_t& used = used_[path][resource];
      used += amount;
      // What a unit borrows may outgrow its bound when the tree has changed: its children still get
      // what is kept for them.
      const bool is_leaf = path == after.spec().project();
      const int64_t borrowing = is_leaf ? BorrowingBoundOf(queue, resource) : kNoBound;
      for (const int64_t bound : {LimitOf(queue, resource), borrowing}) {
        if (amount <= 0 || bound == kNoBound || used <= bound) continue;
        Violate("quotas are held",
                absl::StrCat(path, " uses ", used, " of ", resource, " and may use at most ", bound,
                             ": ", Describe(after)),
                {after.id(), path});
      }
    }
  }
  if (after.num_preemptions() > kPreemptionsMax)
    Violate("nobody is preempted for ever", Describe(after), {after.id()});
}

void GroundTruth::CheckPlacement(const v1::Job* before, const v1::Job& after) {
  bool placed = false;
  for (const v1::Task& task : after.tasks()) {
    if (!IsActive(task.state())) continue;
    const bool known =
        before != nullptr &&
        std::any_of(before->tasks().begin(), before->tasks().end(), [&](const v1::Task& other) {
          return other.rank() == task.rank() && other.attempt() == task.attempt() &&
                 IsActive(other.state());
        });
    if (known) continue;
    placed = true;
    CheckNode(task, after);
  }
  if (placed) CheckDependencies(after);
}

// A placement is compared with the node's record when it is committed, so that this holds to the
// letter.
void GroundTruth::CheckNode(const v1::Task& task, const v1::Job& job) {
  const v1::Node& node = nodes_[task.node()];
  const bool held = node.spare() && node.standing_in_for().empty();
  if (node.state() != v1::READY || node.cordoned() || node.has_drain() || held) {
    Violate("nothing is placed on a node out of service",
            absl::StrCat(task.node(), " is ", v1::NodeState_Name(node.state()),
                         node.cordoned() ? ", cordoned" : "", node.has_drain() ? ", draining" : "",
                         held ? ", a held spare" : "", ": ", Describe(job)),
            {job.id(), task.node()});
  }
  const std::map<std::string, int> devices = DevicesOf(task);
  for (const v1::Device& device : node.info().devices()) {
    if (device.healthy() || !devices.contains(device.id())) continue;
    Violate("nothing is placed on a broken device",
            absl::StrCat(device.id(), " of ", task.node(), ": ", Describe(job)),
            {job.id(), task.node()});
  }
}

// Whom it depends on may have been retried since: it has ended once.
void GroundTruth::CheckDependencies(const v1::Job& job) {
  for (const v1::Dependency& dependency : job.spec().depends_on()) {
    const std::set<std::string>& there =
        dependency.condition() == v1::AFTER_OK ? ever_succeeded_ : ever_ended_;
    std::set<std::string> needed = {dependency.job_id()};
    if (absl::StartsWith(dependency.job_id(), "array-"))
      needed = jobs_of_array_[dependency.job_id()];
    for (const std::string& id : needed) {
      if (there.contains(id)) continue;
      Violate("nothing runs before what it depends on",
              absl::StrCat(Describe(job), " is placed before ", id), {job.id(), id});
    }
  }
}

void GroundTruth::TakeArray(const v1::Job& after) {
  if (after.array_id().empty()) return;
  jobs_of_array_[after.array_id()].insert(after.id());
  std::set<std::string>& holding = holding_of_array_[after.array_id()];
  const bool holds = std::any_of(after.tasks().begin(), after.tasks().end(),
                                 [](const v1::Task& task) { return IsActive(task.state()); });
  if (!holds) {
    holding.erase(after.id());
    return;
  }
  if (!holding.insert(after.id()).second) return;
  const v1::JobArray& array = arrays_[after.array_id()];
  if (!array.whole()) {
    Violate("an array starts when it is whole", Describe(after), {after.id(), after.array_id()});
  }
  if (array.running_max() > 0 && static_cast<int>(holding.size()) > array.running_max()) {
    Violate("of an array only so many run at once",
            absl::StrCat(holding.size(), " jobs of ", array.id(), " run, at most ",
                         array.running_max(), " may: ", Describe(after)),
            {after.id(), after.array_id()});
  }
}

}  // namespace oneai::fabric::simulation
