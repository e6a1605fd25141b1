#include "compute_fabric/controller/fabric_state.h"

#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace oneai::fabric {
namespace {

constexpr char kEpochKey[] = "meta/epoch";
// Written with every change of a queue, so that one compare tells whether any of them changed.
constexpr char kQueuesKey[] = "meta/queues";
constexpr int kUpdateTriesMax = 32;

using DesiredTask = std::tuple<std::string, int, int, bool>;  // node, rank, attempt, warned

std::set<DesiredTask> DesiredOf(const v1::Job* job) {
  std::set<DesiredTask> desired;
  if (job == nullptr) return desired;
  for (const v1::Task& task : job->tasks()) {
    if (IsDesired(task))
      desired.emplace(task.node(), task.rank(), task.attempt(), job->warned_unix_ms() > 0);
  }
  return desired;
}

// Whether the store says that nothing has changed.
bool IsDefinite(const absl::Status& refused) {
  return absl::IsAborted(refused) || absl::IsResourceExhausted(refused) ||
         absl::IsNotFound(refused) || absl::IsInvalidArgument(refused) ||
         absl::IsFailedPrecondition(refused);
}

}  // namespace

bool IsDesired(const v1::Task& task) {
  return task.state() == v1::TASK_ASSIGNED || task.state() == v1::TASK_RUNNING;
}

absl::Status FabricState::Load() {
  const absl::StatusOr<KeyValue> before = store_->Get(kEpochKey);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  if (before.ok() && !absl::SimpleAtoi(before->value, &epoch_)) {
    return absl::DataLossError("store key meta/epoch does not hold a number");
  }
  ++epoch_;
  Transaction raise;
  raise.If(kEpochKey, before.ok() ? before->mod_revision : 0).Put(kEpochKey, absl::StrCat(epoch_));
  ASSIGN_OR_RETURN(epoch_revision_, store_->Commit(raise));
  RETURN_IF_ERROR(jobs_.Load(*store_));
  RETURN_IF_ERROR(nodes_.Load(*store_));
  RETURN_IF_ERROR(endpoints_.Load(*store_));
  RETURN_IF_ERROR(queues_.Load(*store_));
  RETURN_IF_ERROR(LearnQueuesRevision());
  RETURN_IF_ERROR(arrays_.Load(*store_));
  RETURN_IF_ERROR(reservations_.Load(*store_));
  RETURN_IF_ERROR(events_.Load(*store_));
  for (const JobRecord& job : jobs_.All()) index_.Update(*job.value, job.revision);
  absl::MutexLock lock(&mu_);
  desired_floor_ = epoch_revision_;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FabricState::Commit(Transaction transaction) {
  transaction.If(kEpochKey, epoch_revision_);
  absl::StatusOr<int64_t> revision = store_->Commit(transaction);
  if (absl::IsAborted(revision.status())) {
    const absl::StatusOr<KeyValue> epoch = store_->Get(kEpochKey);
    if (epoch.ok() && epoch->mod_revision != epoch_revision_) {
      return absl::FailedPreconditionError(
          "another controller has taken over this store; this one may not write any more");
    }
  } else if (!revision.ok() && !IsDefinite(revision.status())) {
    absl::MutexLock lock(&mu_);
    for (const Mutation& mutation : transaction.mutations) doubtful_.insert(mutation.key);
  }
  return revision;
}

absl::Status FabricState::RefreshJob(const std::string& id) {
  const JobRecord before = jobs_.Find(id);
  RETURN_IF_ERROR(jobs_.Refresh(*store_, id));
  const JobRecord after = jobs_.Find(id);
  if (after.value != nullptr && after.revision != before.revision)
    Installed(before.value.get(), *after.value, after.revision);
  return absl::OkStatus();
}

absl::Status FabricState::ResolveDoubts() {
  std::set<std::string> keys;
  {
    absl::MutexLock lock(&mu_);
    keys = doubtful_;
  }
  for (const std::string& key : keys) {
    const std::string id = key.substr(key.find('/') + 1);
    if (absl::StartsWith(key, "jobs/")) RETURN_IF_ERROR(RefreshJob(id));
    if (absl::StartsWith(key, "nodes/")) RETURN_IF_ERROR(nodes_.Refresh(*store_, id));
    if (absl::StartsWith(key, "endpoints/")) RETURN_IF_ERROR(endpoints_.Refresh(*store_, id));
    if (absl::StartsWith(key, "queues/")) RETURN_IF_ERROR(queues_.Refresh(*store_, id));
    if (absl::StartsWith(key, "arrays/")) RETURN_IF_ERROR(arrays_.Refresh(*store_, id));
    if (absl::StartsWith(key, "reservations/")) RETURN_IF_ERROR(reservations_.Refresh(*store_, id));
    if (key == kQueuesKey) continue;
    absl::MutexLock lock(&mu_);
    doubtful_.erase(key);
  }
  // After the queues themselves, as in CommitQueues.
  if (keys.contains(kQueuesKey)) {
    RETURN_IF_ERROR(LearnQueuesRevision());
    absl::MutexLock lock(&mu_);
    doubtful_.erase(kQueuesKey);
  }
  if (!keys.empty()) Wake();
  return absl::OkStatus();
}

template <typename Message>
absl::StatusOr<Record<Message>> FabricState::Update(VersionedTable<Message>& table,
                                                    const std::string& id, bool create,
                                                    Change<Message> change) {
  for (int i = 0; i < kUpdateTriesMax; ++i) {
    const Record<Message> before = table.Find(id);
    if (before.value == nullptr && !create)
      return absl::NotFoundError(absl::StrCat("no ", table.KeyOf(id)));
    auto after = std::make_shared<Message>();
    if (before.value != nullptr) *after = *before.value;
    EventDrafts drafts;
    if (!change(*after, drafts)) return before;
    if constexpr (std::is_same_v<Message, v1::Job>)
      AccountEndedTasks(*before.value, *after, Now(), prices_);
    Transaction transaction;
    transaction.If(table.KeyOf(id), before.revision)
        .Put(table.KeyOf(id), after->SerializeAsString());
    const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
    const absl::StatusOr<int64_t> revision = Commit(std::move(transaction));
    if (absl::IsAborted(revision.status())) {
      if constexpr (std::is_same_v<Message, v1::Job>) {
        RETURN_IF_ERROR(RefreshJob(id));
      } else {
        RETURN_IF_ERROR(table.Refresh(*store_, id));
      }
      continue;
    }
    RETURN_IF_ERROR(revision.status());
    if constexpr (std::is_same_v<Message, v1::Job>) after->set_revision(*revision);
    table.Install(id, after, *revision);
    events_.Install(events);
    if constexpr (std::is_same_v<Message, v1::Job>) {
      Installed(before.value.get(), *after, *revision);
    } else {
      Wake();
    }
    return Record<Message>{after, *revision};
  }
  return absl::AbortedError(absl::StrCat(table.KeyOf(id), " changes too often; try again"));
}

absl::StatusOr<JobRecord> FabricState::UpdateJob(const std::string& id, Change<v1::Job> change) {
  return Update<v1::Job>(jobs_, id, false, change);
}
absl::StatusOr<Record<v1::Endpoint>> FabricState::UpdateEndpoint(const std::string& name,
                                                                 Change<v1::Endpoint> change) {
  return Update<v1::Endpoint>(endpoints_, name, false, change);
}
absl::StatusOr<Record<v1::Node>> FabricState::UpdateNode(const std::string& name,
                                                         Change<v1::Node> change) {
  return Update<v1::Node>(nodes_, name, true, change);
}
absl::StatusOr<JobRecord> FabricState::CreateJob(const v1::Job& job, const std::string& request_key,
                                                 const EventDrafts& drafts,
                                                 const v1::Endpoint* endpoint,
                                                 int64_t endpoint_revision) {
  Transaction transaction;
  std::shared_ptr<v1::Endpoint> served;
  if (endpoint != nullptr) {
    served = std::make_shared<v1::Endpoint>(*endpoint);
    served->set_job_id(job.id());
    const std::string key = endpoints_.KeyOf(served->spec().name());
    transaction.If(key, endpoint_revision).Put(key, served->SerializeAsString());
  }
  transaction.If(jobs_.KeyOf(job.id()), 0).If(request_key, 0);
  transaction.Put(jobs_.KeyOf(job.id()), job.SerializeAsString()).Put(request_key, job.id());
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  auto value = std::make_shared<v1::Job>(job);
  value->set_revision(revision);
  // The endpoint first: a job of kind "serve" whose endpoint names another job is taken for a
  // leftover.
  if (served != nullptr) endpoints_.Install(served->spec().name(), served, revision);
  jobs_.Install(job.id(), value, revision);
  events_.Install(events);
  Installed(nullptr, *value, revision);
  return JobRecord{value, revision};
}

absl::Status FabricState::CreateJobs(const std::vector<v1::Job>& jobs, Transaction transaction,
                                     const EventDrafts& drafts) {
  for (const v1::Job& job : jobs)
    transaction.If(jobs_.KeyOf(job.id()), 0).Put(jobs_.KeyOf(job.id()), job.SerializeAsString());
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  events_.Install(events);
  for (const v1::Job& job : jobs) {
    auto value = std::make_shared<v1::Job>(job);
    value->set_revision(revision);
    jobs_.Install(job.id(), value, revision);
    Installed(nullptr, *value, revision);
  }
  return absl::OkStatus();
}

absl::Status FabricState::PutArray(const v1::JobArray& array, int64_t revision_before,
                                   const std::string& request_key, const EventDrafts& drafts) {
  const std::string key = arrays_.KeyOf(array.id());
  Transaction transaction;
  transaction.If(key, revision_before).Put(key, array.SerializeAsString());
  if (revision_before == 0) transaction.If(request_key, 0).Put(request_key, array.id());
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  arrays_.Install(array.id(), std::make_shared<v1::JobArray>(array), revision);
  events_.Install(events);
  Wake();
  return absl::OkStatus();
}

int64_t FabricState::queues_revision() const {
  absl::MutexLock lock(&mu_);
  return queues_revision_;
}

absl::Status FabricState::LearnQueuesRevision() {
  const absl::StatusOr<KeyValue> changed = store_->Get(kQueuesKey);
  if (!changed.ok() && !absl::IsNotFound(changed.status())) return changed.status();
  absl::MutexLock lock(&mu_);
  queues_revision_ = changed.ok() ? changed->mod_revision : 0;
  return absl::OkStatus();
}

absl::Status FabricState::CommitPlacements(const std::vector<PlacementCommit>& commits,
                                           int64_t queues_revision) {
  Transaction transaction;
  transaction.If(kQueuesKey, queues_revision);
  EventDrafts drafts;
  std::vector<std::shared_ptr<v1::Job>> placed;
  std::map<std::string, int64_t> nodes;
  for (const PlacementCommit& commit : commits) {
    auto after = std::make_shared<v1::Job>(*commit.job.value);
    ApplyPlacement(*after, commit.placement, Now(), drafts);
    transaction.If(jobs_.KeyOf(after->id()), commit.job.revision)
        .Put(jobs_.KeyOf(after->id()), after->SerializeAsString());
    for (const Record<v1::Node>& node : commit.nodes)
      nodes[nodes_.KeyOf(node.value->info().name())] = node.revision;
    placed.push_back(std::move(after));
  }
  for (const auto& [key, revision] : nodes) transaction.If(key, revision);
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  events_.Install(events);
  for (size_t i = 0; i < placed.size(); ++i) {
    placed[i]->set_revision(revision);
    jobs_.Install(placed[i]->id(), placed[i], revision);
    Installed(commits[i].job.value.get(), *placed[i], revision);
  }
  return absl::OkStatus();
}

absl::Status FabricState::DeleteJobs(const std::vector<JobRecord>& jobs,
                                     const std::vector<Record<v1::JobArray>>& arrays,
                                     Transaction transaction) {
  for (const JobRecord& job : jobs) {
    const std::string key = jobs_.KeyOf(job.value->id());
    transaction.If(key, job.revision).Delete(key);
  }
  for (const Record<v1::JobArray>& array : arrays) {
    const std::string key = arrays_.KeyOf(array.value->id());
    transaction.If(key, array.revision).Delete(key);
  }
  RETURN_IF_ERROR(Commit(std::move(transaction)).status());
  for (const JobRecord& job : jobs) {
    jobs_.Erase(job.value->id());
    index_.Remove(job.value->id());
  }
  for (const Record<v1::JobArray>& array : arrays) arrays_.Erase(array.value->id());
  Wake();
  return absl::OkStatus();
}

absl::Status FabricState::CommitQueues(const std::map<std::string, const v1::Queue*>& queues,
                                       const EventDrafts& drafts, int64_t queues_revision) {
  Transaction transaction;
  for (const auto& [path, queue] : queues) {
    const std::string key = queues_.KeyOf(path);
    transaction.If(key, queues_.Find(path).revision);
    if (queue != nullptr) {
      transaction.Put(key, queue->SerializeAsString());
    } else {
      transaction.Delete(key);
    }
  }
  transaction.If(kQueuesKey, queues_revision).Put(kQueuesKey, "");
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  for (const auto& [path, queue] : queues) {
    if (queue != nullptr) {
      queues_.Install(path, std::make_shared<v1::Queue>(*queue), revision);
    } else {
      queues_.Erase(path);
    }
  }
  {
    // After the queues: a plan made in between with the old ones must not pass for one of the new.
    absl::MutexLock lock(&mu_);
    queues_revision_ = std::max(queues_revision_, revision);
  }
  events_.Install(events);
  Wake();
  return absl::OkStatus();
}

absl::Status FabricState::CommitReservation(const std::string& name,
                                            const v1::Reservation* reservation,
                                            int64_t revision_before, const EventDrafts& drafts) {
  const std::string key = reservations_.KeyOf(name);
  Transaction transaction;
  transaction.If(key, revision_before);
  if (reservation != nullptr) {
    transaction.Put(key, reservation->SerializeAsString());
  } else {
    transaction.Delete(key);
  }
  const std::vector<v1::Event> events = events_.Add(drafts, Now(), transaction);
  ASSIGN_OR_RETURN(const int64_t revision, Commit(std::move(transaction)));
  if (reservation != nullptr) {
    reservations_.Install(name, std::make_shared<v1::Reservation>(*reservation), revision);
  } else {
    reservations_.Erase(name);
  }
  events_.Install(events);
  Wake();
  return absl::OkStatus();
}

std::vector<JobRecord> FabricState::FindJobs(const std::vector<std::string>& ids) const {
  std::vector<JobRecord> records;
  records.reserve(ids.size());
  for (const std::string& id : ids) {
    JobRecord job = jobs_.Find(id);
    if (job.value != nullptr) records.push_back(std::move(job));
  }
  return records;
}

absl::Status FabricState::DeleteEndpoint(const std::string& name) {
  const Record<v1::Endpoint> endpoint = endpoints_.Find(name);
  if (endpoint.value == nullptr) return absl::OkStatus();
  Transaction transaction;
  transaction.If(endpoints_.KeyOf(name), endpoint.revision).Delete(endpoints_.KeyOf(name));
  RETURN_IF_ERROR(Commit(std::move(transaction)).status());
  endpoints_.Erase(name);
  Wake();
  return absl::OkStatus();
}

void FabricState::Installed(const v1::Job* before, const v1::Job& after, int64_t revision) {
  index_.Update(after, revision);
  const std::set<DesiredTask> old_tasks = DesiredOf(before);
  const std::set<DesiredTask> new_tasks = DesiredOf(&after);
  absl::MutexLock lock(&mu_);
  const auto raise = [&](const std::set<DesiredTask>& these, const std::set<DesiredTask>& others) {
    for (const DesiredTask& task : these) {
      if (others.count(task) > 0) continue;
      int64_t& desired = desired_revisions_[std::get<0>(task)];
      desired = std::max(desired, revision);
    }
  };
  raise(old_tasks, new_tasks);
  raise(new_tasks, old_tasks);
  ++version_;
  changed_.SignalAll();
}

void FabricState::Wake() {
  absl::MutexLock lock(&mu_);
  ++version_;
  changed_.SignalAll();
}

int64_t FabricState::version() const {
  absl::MutexLock lock(&mu_);
  return version_;
}

int64_t FabricState::WaitForChange(int64_t seen, absl::Duration timeout) const {
  const absl::Time deadline = absl::Now() + timeout;
  absl::MutexLock lock(&mu_);
  while (version_ <= seen) {
    if (changed_.WaitWithDeadline(&mu_, deadline)) break;
  }
  return version_;
}

int64_t FabricState::DesiredRevision(const std::string& node) const {
  absl::MutexLock lock(&mu_);
  const auto it = desired_revisions_.find(node);
  return it == desired_revisions_.end() ? desired_floor_ : std::max(it->second, desired_floor_);
}

}  // namespace oneai::fabric
