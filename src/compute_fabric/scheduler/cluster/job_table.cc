#include "compute_fabric/scheduler/cluster/job_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

// What two jobs must have in common to be of one class, and two shapes to be one: written out, so
// that a hash table can compare it.
std::string ShapeKey(const TaskShape& shape) {
  std::string key = absl::StrCat(shape.cpu_milli, ",", shape.memory_bytes, ",", shape.num_ports);
  for (const DeviceAlternative& device : shape.devices) {
    absl::StrAppend(&key, "|", device.kind, ",", device.count, ",", device.milli, ",",
                    device.memory_bytes, ",", device.relative_throughput);
  }
  for (const auto& [name, value] : shape.node_selector) {
    absl::StrAppend(&key, "|", name.size(), ":", name, "=", value.size(), ":", value);
  }
  return key;
}

std::string ClassKey(const JobView& job, absl::string_view shape_key) {
  std::string key =
      absl::StrCat(shape_key, ";", job.ranks.size(), ",", job.gang ? job.tasks_min : 0, ",",
                   job.gang, ",", static_cast<int>(job.spread), ",", job.reservation);
  if (job.topology) {
    absl::StrAppend(&key, ";", static_cast<int>(job.topology->level), job.topology->required);
  }
  return key;
}

absl::Time PlaceInLine(const JobView& job) { return job.submitted + job.line_delay; }

bool IsElastic(const JobView& job) { return job.gang && job.tasks_min < job.tasks; }

struct ShapeDemand {
  TaskShape shape;
  int64_t num_jobs = 0;
  int64_t num_tasks = 0;
};

struct Record {
  JobView job;
  JobClass job_class = -1;
  std::string shape_key;
  RunningJob running;
};

// The order of waiting jobs without following the pointer.
struct WaitKey {
  int priority;
  bool returning;
  absl::Time place_in_line;
  absl::Time submitted;
  uint64_t sequence;
  const JobView* job;

  explicit WaitKey(const JobView& view)
      : priority(view.priority),
        returning(view.returning),
        place_in_line(PlaceInLine(view)),
        submitted(view.submitted),
        sequence(view.sequence),
        job(&view) {}
};

struct WaitKeyLess {
  bool operator()(const WaitKey& a, const WaitKey& b) const {
    if (a.priority != b.priority) return a.priority > b.priority;
    if (a.returning != b.returning) return a.returning;
    if (a.place_in_line != b.place_in_line) return a.place_in_line < b.place_in_line;
    if (a.submitted != b.submitted) return a.submitted < b.submitted;
    if (a.sequence != b.sequence) return a.sequence < b.sequence;
    return a.job != b.job && a.job->id < b.job->id;
  }
};
using WaitSet = absl::btree_set<WaitKey, WaitKeyLess>;

struct QueueJobs {
  WaitSet all;
  absl::btree_map<JobClass, WaitSet> by_class;
};

struct EndKey {
  absl::Time end;
  Record* record;
};
struct EndKeyLess {
  bool operator()(const EndKey& a, const EndKey& b) const {
    if (a.end != b.end) return a.end < b.end;
    return a.record != b.record && a.record->job.id < b.record->job.id;
  }
};

}  // namespace

struct JobTable::Impl {
  // By id, so that walking it is deterministic.
  absl::btree_map<std::string, std::unique_ptr<Record>> records;
  absl::flat_hash_map<absl::string_view, Record*> by_id;
  absl::flat_hash_map<std::string, JobClass> classes;
  std::vector<std::pair<std::string, int64_t>> class_uses;  // key and number of jobs, by class
  std::vector<JobClass> free_classes;
  absl::btree_map<std::string, ShapeDemand> shapes;
  std::map<std::string, QueueJobs, std::less<>> queues;
  absl::btree_set<EndKey, EndKeyLess> running;
  absl::flat_hash_map<std::string, std::vector<const Record*>> on_node;
  absl::btree_map<absl::string_view, const Record*> elastic;
  // Priorities of jobs that could be evicted, by queue.
  std::map<std::string, absl::btree_map<int, int64_t>, std::less<>> held_priorities;
  int64_t num_waiting = 0;
  // Off while a pass places: a number that stands for a class that failed in this pass must not
  // come to stand for another.
  bool reuse_classes = true;

  Impl() = default;
  Impl(const Impl& other);

  Record* Find(absl::string_view id) const {
    const auto it = by_id.find(id);
    return it == by_id.end() ? nullptr : it->second;
  }
  void EnterClass(Record& record);
  void LeaveClass(Record& record);
  void Enter(Record& record);
  void Leave(Record& record);
  void EnterLine(Record& record);
  void LeaveLine(Record& record);
  void EnterNodes(Record& record);
  void LeaveNodes(Record& record);
};

JobTable::Impl::Impl(const Impl& other)
    : classes(other.classes), class_uses(other.class_uses), free_classes(other.free_classes) {
  for (auto& [key, uses] : class_uses) uses = 0;
  for (const auto& [id, record] : other.records) {
    auto copy = std::make_unique<Record>();
    copy->job = record->job;
    Enter(*copy);
    by_id.emplace(copy->job.id, copy.get());
    records.emplace_hint(records.end(), id, std::move(copy));
  }
}

void JobTable::Impl::EnterClass(Record& record) {
  record.shape_key = ShapeKey(record.job.shape);
  ShapeDemand& demand = shapes[record.shape_key];
  if (demand.num_jobs++ == 0) demand.shape = record.job.shape;
  demand.num_tasks += record.job.tasks;

  std::string key = ClassKey(record.job, record.shape_key);
  const auto it = classes.find(key);
  if (it != classes.end()) {
    record.job_class = it->second;
  } else if (free_classes.empty() || !reuse_classes) {
    record.job_class = static_cast<JobClass>(class_uses.size());
    class_uses.emplace_back(key, 0);
    classes.emplace(std::move(key), record.job_class);
  } else {
    record.job_class = free_classes.back();
    free_classes.pop_back();
    class_uses[record.job_class] = {key, 0};
    classes.emplace(std::move(key), record.job_class);
  }
  ++class_uses[record.job_class].second;
}

void JobTable::Impl::LeaveClass(Record& record) {
  const auto demand = shapes.find(record.shape_key);
  demand->second.num_tasks -= record.job.tasks;
  if (--demand->second.num_jobs == 0) shapes.erase(demand);
  auto& [key, uses] = class_uses[record.job_class];
  if (--uses > 0) return;
  classes.erase(key);
  key.clear();
  free_classes.push_back(record.job_class);
}

void JobTable::Impl::Enter(Record& record) {
  EnterClass(record);
  EnterLine(record);
  EnterNodes(record);
}

void JobTable::Impl::Leave(Record& record) {
  LeaveLine(record);
  LeaveNodes(record);
  LeaveClass(record);
}

void JobTable::Impl::EnterLine(Record& record) {
  const JobView& job = record.job;
  if (!IsWaiting(job)) return;
  QueueJobs& queue = queues[job.queue];
  queue.all.insert(WaitKey(job));
  queue.by_class[record.job_class].insert(WaitKey(job));
  ++num_waiting;
}

void JobTable::Impl::LeaveLine(Record& record) {
  const JobView& job = record.job;
  if (!IsWaiting(job)) return;
  const auto queue = queues.find(job.queue);
  queue->second.all.erase(WaitKey(job));
  const auto of_class = queue->second.by_class.find(record.job_class);
  of_class->second.erase(WaitKey(job));
  if (of_class->second.empty()) queue->second.by_class.erase(of_class);
  if (queue->second.all.empty()) queues.erase(queue);
  --num_waiting;
}

void JobTable::Impl::EnterNodes(Record& record) {
  const JobView& job = record.job;
  if (job.placed.empty()) return;
  record.running.view = &job;
  record.running.end = ExpectedEnd(job);
  record.running.releases.Clear();
  running.insert({record.running.end, &record});
  if (IsElastic(job)) elastic.emplace(job.id, &record);
  for (const TaskPlacement& task : job.placed) {
    std::vector<const Record*>& jobs = on_node[task.node];
    if (std::find(jobs.begin(), jobs.end(), &record) == jobs.end()) jobs.push_back(&record);
  }
  if (job.preemptible && !job.stopping) ++held_priorities[job.queue][job.priority];
}

void JobTable::Impl::LeaveNodes(Record& record) {
  const JobView& job = record.job;
  if (job.placed.empty()) return;
  running.erase({ExpectedEnd(job), &record});
  if (IsElastic(job)) elastic.erase(job.id);
  for (const TaskPlacement& task : job.placed) {
    const auto node = on_node.find(task.node);
    if (node == on_node.end()) continue;
    std::vector<const Record*>& jobs = node->second;
    jobs.erase(std::remove(jobs.begin(), jobs.end(), &record), jobs.end());
    if (jobs.empty()) on_node.erase(node);
  }
  if (job.preemptible && !job.stopping) {
    const auto queue = held_priorities.find(job.queue);
    const auto priority = queue->second.find(job.priority);
    if (--priority->second == 0) queue->second.erase(priority);
    if (queue->second.empty()) held_priorities.erase(queue);
  }
}

JobTable::JobTable() : impl_(std::make_unique<Impl>()) {}
JobTable::~JobTable() = default;
JobTable::JobTable(const JobTable& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
JobTable& JobTable::operator=(const JobTable& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}

const JobView* JobTable::Set(JobView job) {
  Remove(job.id);
  auto record = std::make_unique<Record>();
  record->job = std::move(job);
  impl_->Enter(*record);
  const JobView* view = &record->job;
  impl_->by_id.emplace(view->id, record.get());
  impl_->records.emplace(view->id, std::move(record));
  return view;
}

void JobTable::Remove(absl::string_view id) {
  const auto it = impl_->records.find(id);
  if (it == impl_->records.end()) return;
  impl_->Leave(*it->second);
  impl_->by_id.erase(it->second->job.id);
  impl_->records.erase(it);
}

const JobView* JobTable::Find(absl::string_view id) const {
  const Record* record = impl_->Find(id);
  return record == nullptr ? nullptr : &record->job;
}

int64_t JobTable::size() const { return static_cast<int64_t>(impl_->records.size()); }
int64_t JobTable::num_waiting() const { return impl_->num_waiting; }

const JobView* JobTable::Place(absl::string_view id, const std::vector<TaskPlacement>& tasks,
                               absl::Time now) {
  Record& record = *impl_->Find(id);
  impl_->LeaveLine(record);
  impl_->LeaveNodes(record);
  JobView& job = record.job;
  if (job.placed.empty()) job.started = now;
  job.placed.insert(job.placed.end(), tasks.begin(), tasks.end());
  std::stable_sort(job.placed.begin(), job.placed.end(),
                   [](const TaskPlacement& a, const TaskPlacement& b) { return a.rank < b.rank; });
  job.ranks.erase(std::remove_if(job.ranks.begin(), job.ranks.end(),
                                 [&](int rank) {
                                   return job.gang || std::any_of(tasks.begin(), tasks.end(),
                                                                  [&](const TaskPlacement& task) {
                                                                    return task.rank == rank;
                                                                  });
                                 }),
                  job.ranks.end());
  // What is still missing is of another class; what no longer waits keeps the one it had.
  if (IsWaiting(job)) {
    impl_->reuse_classes = false;
    impl_->LeaveClass(record);
    impl_->EnterClass(record);
    impl_->reuse_classes = true;
  }
  impl_->EnterLine(record);
  impl_->EnterNodes(record);
  return &job;
}

const JobView* JobTable::MarkStopping(absl::string_view id) {
  Record& record = *impl_->Find(id);
  impl_->LeaveLine(record);
  impl_->LeaveNodes(record);
  record.job.stopping = true;
  impl_->EnterLine(record);
  impl_->EnterNodes(record);
  return &record.job;
}

JobClass JobTable::ClassOf(const JobView& job) const {
  const Record* record = impl_->Find(job.id);
  if (record != nullptr && &record->job == &job) return record->job_class;
  const auto it = impl_->classes.find(ClassKey(job, ShapeKey(job.shape)));
  return it == impl_->classes.end() ? -1 : it->second;
}

std::vector<std::string> JobTable::QueuesWithWaiting() const {
  std::vector<std::string> names;
  names.reserve(impl_->queues.size());
  for (const auto& [name, queue] : impl_->queues) names.push_back(name);
  return names;
}

std::vector<JobClass> JobTable::WaitingClasses(absl::string_view queue) const {
  std::vector<JobClass> classes;
  const auto it = impl_->queues.find(queue);
  if (it == impl_->queues.end()) return classes;
  classes.reserve(it->second.by_class.size());
  for (const auto& [job_class, jobs] : it->second.by_class) classes.push_back(job_class);
  return classes;
}

const JobView* JobTable::FirstWaiting(absl::string_view queue, JobClass job_class,
                                      const JobView* after) const {
  const auto it = impl_->queues.find(queue);
  if (it == impl_->queues.end()) return nullptr;
  const auto of_class = it->second.by_class.find(job_class);
  if (of_class == it->second.by_class.end()) return nullptr;
  const WaitSet& jobs = of_class->second;
  if (after == nullptr) return jobs.begin()->job;
  const auto next = jobs.upper_bound(WaitKey(*after));
  return next == jobs.end() ? nullptr : next->job;
}

void JobTable::VisitWaiting(absl::string_view queue,
                            absl::FunctionRef<bool(const JobView&)> visit) const {
  const auto it = impl_->queues.find(queue);
  if (it == impl_->queues.end()) return;
  for (const WaitKey& key : it->second.all) {
    if (!visit(*key.job)) return;
  }
}

void JobTable::VisitRunning(absl::FunctionRef<bool(const JobView&)> visit) const {
  for (const EndKey& key : impl_->running) {
    if (!visit(key.record->job)) return;
  }
}

void JobTable::VisitRunningJobs(absl::FunctionRef<bool(RunningJob&)> visit) {
  for (const EndKey& key : impl_->running) {
    if (!visit(key.record->running)) return;
  }
}

int64_t JobTable::num_running() const { return static_cast<int64_t>(impl_->running.size()); }

int64_t JobTable::num_elastic() const { return static_cast<int64_t>(impl_->elastic.size()); }

void JobTable::VisitElastic(absl::FunctionRef<void(const JobView&)> visit) const {
  for (const auto& [id, record] : impl_->elastic) visit(record->job);
}

std::vector<const JobView*> JobTable::OnNode(absl::string_view node) const {
  std::vector<const JobView*> jobs;
  const auto it = impl_->on_node.find(node);
  if (it == impl_->on_node.end()) return jobs;
  jobs.reserve(it->second.size());
  for (const Record* record : it->second) jobs.push_back(&record->job);
  std::sort(jobs.begin(), jobs.end(),
            [](const JobView* a, const JobView* b) { return a->id < b->id; });
  return jobs;
}

void JobTable::VisitAll(absl::FunctionRef<void(const JobView&)> visit) const {
  for (const auto& [id, record] : impl_->records) visit(record->job);
}

void JobTable::VisitShapes(
    absl::FunctionRef<void(const TaskShape&, int64_t num_tasks)> visit) const {
  for (const auto& [key, demand] : impl_->shapes) visit(demand.shape, demand.num_tasks);
}

std::optional<int> JobTable::LowestPriorityHeld(absl::string_view queue) const {
  const auto it = impl_->held_priorities.find(queue);
  if (it == impl_->held_priorities.end()) return std::nullopt;
  return it->second.begin()->first;
}

bool IsWaiting(const JobView& job) {
  return !job.ranks.empty() && job.gates.empty() && !job.stopping;
}

absl::Time ExpectedEnd(const JobView& job) {
  if (job.placed.empty()) return absl::InfiniteFuture();
  if (job.stopping) return absl::InfinitePast();
  return job.started + job.time_limit;
}

bool WaitsBefore(const JobView& a, const JobView& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (a.returning != b.returning) return a.returning;
  const absl::Time place_a = PlaceInLine(a);
  const absl::Time place_b = PlaceInLine(b);
  if (place_a != place_b) return place_a < place_b;
  if (a.submitted != b.submitted) return a.submitted < b.submitted;
  if (a.sequence != b.sequence) return a.sequence < b.sequence;
  return a.id < b.id;
}

}  // namespace oneai::fabric
