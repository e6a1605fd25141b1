#include "compute_fabric/controller/job_index.h"

#include <algorithm>

#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

template <typename Map>
std::vector<std::string> SortedOf(const Map& map, const std::string& key) {
  const auto it = map.find(key);
  if (it == map.end()) return {};
  return {it->second.begin(), it->second.end()};
}

template <typename Map>
void EraseFrom(Map& map, const std::string& key, const std::string& id) {
  const auto it = map.find(key);
  if (it == map.end()) return;
  it->second.erase(id);
  if (it->second.empty()) map.erase(it);
}

}  // namespace

JobIndex::Facts JobIndex::FactsOf(const v1::Job& job, int64_t revision) {
  Facts facts;
  facts.revision = revision;
  facts.finished = IsFinished(job.state());
  facts.succeeded = job.state() == v1::SUCCEEDED;
  facts.serving = !facts.finished && job.spec().kind() == "serve";
  facts.array_id = job.array_id();
  facts.array_index = job.array_index();
  if (facts.finished) facts.ended_ms = absl::ToUnixMillis(GetTime(job.ended()));
  for (const v1::Task& task : job.tasks()) {
    if (IsActive(task.state())) facts.nodes.push_back(task.node());
  }
  facts.holding = !facts.nodes.empty();
  std::sort(facts.nodes.begin(), facts.nodes.end());
  facts.nodes.erase(std::unique(facts.nodes.begin(), facts.nodes.end()), facts.nodes.end());
  if (!facts.finished) {
    for (const v1::Dependency& dependency : job.spec().depends_on())
      facts.dependencies.push_back(dependency.job_id());
  }
  return facts;
}

void JobIndex::Update(const v1::Job& job, int64_t revision) {
  Facts facts = FactsOf(job, revision);
  absl::MutexLock lock(&mu_);
  const auto known = facts_.find(job.id());
  if (known != facts_.end()) {
    if (known->second.revision >= revision) return;
    Erase(job.id(), known->second);
    known->second = std::move(facts);
    Insert(job.id(), known->second);
  } else {
    Insert(job.id(), facts_.emplace(job.id(), std::move(facts)).first->second);
  }
  for (Ids& changed : changed_) changed.insert(job.id());
}

void JobIndex::Remove(const std::string& id) {
  absl::MutexLock lock(&mu_);
  const auto known = facts_.find(id);
  if (known == facts_.end()) return;
  Erase(id, known->second);
  facts_.erase(known);
  for (Ids& changed : changed_) changed.insert(id);
}

void JobIndex::Insert(const std::string& id, const Facts& facts) {
  if (facts.finished) {
    finished_.emplace(facts.ended_ms, id);
  } else {
    unfinished_.insert(id);
  }
  if (facts.serving) serving_.insert(id);
  for (const std::string& node : facts.nodes) on_node_[node].insert(id);
  for (const std::string& dependency : facts.dependencies) dependents_[dependency].insert(id);
  if (facts.array_id.empty()) return;
  Array& array = arrays_[facts.array_id];
  array.jobs[facts.array_index] = id;
  array.num_unfinished += facts.finished ? 0 : 1;
  array.num_succeeded += facts.succeeded ? 1 : 0;
  if (!facts.finished && !facts.holding) array.waiting[facts.array_index] = id;
}

void JobIndex::Erase(const std::string& id, const Facts& facts) {
  if (facts.finished) {
    finished_.erase({facts.ended_ms, id});
  } else {
    unfinished_.erase(id);
  }
  serving_.erase(id);
  for (const std::string& node : facts.nodes) EraseFrom(on_node_, node, id);
  for (const std::string& dependency : facts.dependencies) EraseFrom(dependents_, dependency, id);
  if (facts.array_id.empty()) return;
  const auto array = arrays_.find(facts.array_id);
  array->second.jobs.erase(facts.array_index);
  array->second.waiting.erase(facts.array_index);
  array->second.num_unfinished -= facts.finished ? 0 : 1;
  array->second.num_succeeded -= facts.succeeded ? 1 : 0;
  if (array->second.jobs.empty()) arrays_.erase(array);
}

std::vector<std::string> JobIndex::Unfinished() const {
  absl::MutexLock lock(&mu_);
  return {unfinished_.begin(), unfinished_.end()};
}

std::vector<std::string> JobIndex::Serving() const {
  absl::MutexLock lock(&mu_);
  return {serving_.begin(), serving_.end()};
}

std::vector<std::string> JobIndex::OnNode(const std::string& node) const {
  absl::MutexLock lock(&mu_);
  return SortedOf(on_node_, node);
}

std::vector<std::string> JobIndex::OfArray(const std::string& array_id) const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  const auto array = arrays_.find(array_id);
  if (array == arrays_.end()) return ids;
  for (const auto& [index, id] : array->second.jobs) ids.push_back(id);
  return ids;
}

ArrayProgress JobIndex::ProgressOf(const std::string& array_id) const {
  absl::MutexLock lock(&mu_);
  const auto found = arrays_.find(array_id);
  if (found == arrays_.end()) return {};
  const Array& array = found->second;
  return {.num_jobs = static_cast<int>(array.jobs.size()),
          .num_unfinished = array.num_unfinished,
          .num_holding = array.num_unfinished - static_cast<int>(array.waiting.size()),
          .num_succeeded = array.num_succeeded};
}

std::vector<std::string> JobIndex::WaitingOfArray(const std::string& array_id, int limit) const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  const auto array = arrays_.find(array_id);
  if (array == arrays_.end()) return ids;
  for (const auto& [index, id] : array->second.waiting) {
    if (static_cast<int>(ids.size()) >= limit) break;
    ids.push_back(id);
  }
  return ids;
}

std::vector<std::string> JobIndex::DependentsOf(const std::string& id) const {
  absl::MutexLock lock(&mu_);
  return SortedOf(dependents_, id);
}

int64_t JobIndex::num_finished() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int64_t>(finished_.size());
}

std::vector<std::string> JobIndex::OldestFinished(int limit) const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  for (const auto& [ended, id] : finished_) {
    if (static_cast<int>(ids.size()) >= limit) break;
    ids.push_back(id);
  }
  return ids;
}

std::vector<std::string> JobIndex::TakeChanged(Reader reader) {
  absl::MutexLock lock(&mu_);
  Ids& unread = changed_[static_cast<size_t>(reader)];
  std::vector<std::string> changed(unread.begin(), unread.end());
  unread.clear();
  return changed;
}

}  // namespace oneai::fabric
