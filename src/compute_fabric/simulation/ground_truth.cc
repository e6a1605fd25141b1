#include "compute_fabric/simulation/ground_truth.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/jobs/job_state.h"
#include "compute_fabric/simulation/held_amounts.h"

namespace oneai::fabric::simulation {

void GroundTruth::Violate(std::string invariant, std::string what, std::vector<std::string> words) {
  simulator_->trace().Add("VIOLATION", invariant, ": ", what);
  violations_.push_back({std::move(invariant), std::move(what), std::move(words)});
  simulator_->Stop();
}

void GroundTruth::ProcessStarted(const std::string& node, const TaskOrder& order) {
  const TaskKey& key = order.key;
  simulator_->trace().Add(node, "process starts: ", key.FolderName());
  if (!started_.insert(key).second)
    Violate("run twice", absl::StrCat(key.FolderName(), " starts a second time"),
            {key.job_id, node});
  const auto job = jobs_.find(key.job_id);
  if (job == jobs_.end()) {
    Violate("no acknowledged job lost", absl::StrCat(key.job_id, " runs and is not in the store"),
            {key.job_id});
    return;
  }
  if (IsFinished(job->second.state())) {
    Violate("finished stays finished",
            absl::StrCat(key.FolderName(), " starts although ", Describe(job->second)),
            {key.job_id, node});
  }
  for (const auto& [other, where] : running_) {
    if (other.job_id != key.job_id) continue;
    const bool gang_overlap = job->second.spec().gang() && other.attempt != key.attempt;
    if (gang_overlap || other.rank == key.rank) {
      Violate("run twice",
              absl::StrCat(key.FolderName(), " starts on ", node, " while ", other.FolderName(),
                           " still runs on ", where.node),
              {key.job_id, node, where.node});
    }
  }
  Running& self = running_[key];
  self.node = node;
  for (const std::string& id : order.device_ids) self.devices[id] = kWholeDevice;
  for (const v1::Task& task : job->second.tasks()) {
    if (task.rank() == key.rank && task.attempt() == key.attempt) self.devices = DevicesOf(task);
  }
  for (const auto& [id, milli] : self.devices) {
    int sum = 0;
    std::string users;
    for (const auto& [other, where] : running_) {
      const auto use = where.node == node ? where.devices.find(id) : where.devices.end();
      if (use == where.devices.end()) continue;
      sum += use->second;
      absl::StrAppend(&users, " ", other.FolderName());
    }
    if (sum > kWholeDevice) {
      Violate("no device held twice",
              absl::StrCat(id, " of ", node, " is used for ", sum, "/1000 by", users), {node});
    }
  }
}

void GroundTruth::ProcessEnded(const std::string& node, const TaskKey& key) {
  simulator_->trace().Add(node, "process ends: ", key.FolderName());
  running_.erase(key);
}

void GroundTruth::Committed(int64_t revision, const std::vector<WatchEvent>& events) {
  for (const WatchEvent& event : events) {
    const absl::string_view key = event.item.key;
    if (absl::StartsWith(key, "jobs/")) {
      const std::string id(key.substr(5));
      if (event.kind == WatchEvent::Kind::kPut) {
        TakeJob(id, event.item.value);
      } else {
        TakeDeletion(id);
      }
    } else if (absl::StartsWith(key, "nodes/")) {
      v1::Node node;
      node.ParseFromString(event.item.value);
      const v1::NodeState before = nodes_[node.info().name()].state();
      if (before != node.state()) {
        simulator_->trace().Add("store", "node ", node.info().name(), " is ",
                                v1::NodeState_Name(node.state()), ", revision ", revision);
      }
      nodes_[node.info().name()] = std::move(node);
    } else if (absl::StartsWith(key, "arrays/") && event.kind == WatchEvent::Kind::kPut) {
      v1::JobArray array;
      array.ParseFromString(event.item.value);
      arrays_[array.id()] = std::move(array);
    } else if (absl::StartsWith(key, "queues/") && event.kind == WatchEvent::Kind::kPut) {
      v1::Queue queue;
      queue.ParseFromString(event.item.value);
      queues_[queue.project()] = std::move(queue);
    }
  }
}

void GroundTruth::TakeJob(const std::string& id, const std::string& value) {
  v1::Job job;
  job.ParseFromString(value);
  const auto known = jobs_.find(id);
  const v1::Job* before = known == jobs_.end() ? nullptr : &known->second;
  if (before == nullptr || before->state() != job.state() || before->attempt() != job.attempt())
    simulator_->trace().Add("store", Describe(job));
  if (before == nullptr) TakeRequest(job);
  if (before != nullptr) CheckHistory(*before, job);
  CheckPlacement(before, job);
  TakeDevices(before, job);
  TakeQuota(before, job);
  TakeArray(job);
  if (IsFinished(job.state())) ever_ended_.insert(id);
  if (job.state() == v1::SUCCEEDED) ever_succeeded_.insert(id);
  jobs_[id] = std::move(job);
}

// The jobs of an array that was begun and never became whole, hence never acknowledged, may go: an
// hour later by a clock that may jump.
void GroundTruth::TakeDeletion(const std::string& id) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  const auto array = arrays_.find(job->second.array_id());
  if (array == arrays_.end() || array->second.whole()) {
    Violate("no acknowledged job lost", absl::StrCat(id, " is deleted"), {id});
    return;
  }
  const auto request = job->second.spec().env().find(kRequestVariable);
  if (request != job->second.spec().env().end()) job_of_request_.erase(request->second);
  jobs_of_array_[array->first].erase(id);
  jobs_.erase(job);
}

void GroundTruth::TakeRequest(const v1::Job& job) {
  const auto request = job.spec().env().find(kRequestVariable);
  if (request == job.spec().env().end()) return;
  const std::string& made = job.array_id().empty() ? job.id() : job.array_id();
  const auto [other, is_new] = job_of_request_.insert({request->second, made});
  if (other->second != made || (job.array_id().empty() && !is_new)) {
    Violate("one request makes one job",
            absl::StrCat(request->second, " made ", other->second, " and ", made),
            {request->second, made, other->second});
  }
}

void GroundTruth::CheckHistory(const v1::Job& before, const v1::Job& after) {
  if (after.attempt() < before.attempt()) {
    Violate("attempts only rise", absl::StrCat(Describe(before), " became ", Describe(after)),
            {after.id()});
  }
  if (IsFinished(before.state()) && !IsFinished(after.state()) && !retries_.contains(after.id())) {
    Violate("finished stays finished", absl::StrCat(Describe(before), " became ", Describe(after)),
            {after.id()});
  }
  if (before.cancel_requested() && after.cancel_requested() && after.attempt() > before.attempt()) {
    Violate("cancelled is not placed again",
            absl::StrCat(Describe(before), " became ", Describe(after)), {after.id()});
  }
}

void GroundTruth::SubmitAcknowledged(const std::string& request_id, const std::string& job_id) {
  simulator_->trace().Add("user", request_id, " is acknowledged as ", job_id);
  if (!jobs_.contains(job_id)) {
    Violate("no acknowledged job lost",
            absl::StrCat(request_id, " was acknowledged as ", job_id, ", which is not durable"),
            {job_id, request_id});
  }
  const auto [known, is_new] = acknowledged_.insert({request_id, job_id});
  if (known->second != job_id) {
    Violate("one request makes one job",
            absl::StrCat(request_id, " was acknowledged as ", known->second, " and as ", job_id),
            {request_id, job_id, known->second});
  }
}

void GroundTruth::ArrayAcknowledged(const std::string& request_id,
                                    const v1::SubmitJobResponse& response) {
  const std::string& id = response.array_id();
  simulator_->trace().Add("user", request_id, " is acknowledged as ", id);
  const auto array = arrays_.find(id);
  if (array == arrays_.end() || !array->second.whole() ||
      array->second.num_jobs() != response.job_ids_size()) {
    Violate("no acknowledged job lost",
            absl::StrCat(request_id, " was acknowledged as ", id, ", which is not whole"),
            {id, request_id});
  }
  for (const std::string& job : response.job_ids()) {
    if (jobs_.contains(job)) continue;
    Violate("no acknowledged job lost",
            absl::StrCat(job, " of ", id, " was acknowledged and is not durable"), {id, job});
  }
  const auto known = acknowledged_.insert({request_id, id}).first;
  if (known->second != id) {
    Violate("one request makes one job",
            absl::StrCat(request_id, " was acknowledged as ", known->second, " and as ", id),
            {request_id, id, known->second});
  }
}

void GroundTruth::CheckReasons(
    absl::Duration patience,
    absl::FunctionRef<std::vector<std::string>(const std::string& id)> reasons) {
  for (const auto& [id, job] : jobs_) {
    if (job.state() != v1::PENDING || !reasons(id).empty()) {
      mute_since_.erase(id);
      continue;
    }
    const absl::Time since = mute_since_.try_emplace(id, simulator_->Now()).first->second;
    if (simulator_->Now() - since > patience) {
      Violate("every waiting job says why",
              absl::StrCat(Describe(job), " has waited ",
                           absl::FormatDuration(simulator_->Now() - since), " without a reason"),
              {id});
    }
  }
}

std::vector<std::string> GroundTruth::LeftOver() const {
  std::vector<std::string> left;
  for (const auto& [key, where] : running_) {
    const auto job = jobs_.find(key.job_id);
    const bool wanted =
        job != jobs_.end() &&
        std::any_of(job->second.tasks().begin(), job->second.tasks().end(), [&](const auto& task) {
          return task.rank() == key.rank && task.attempt() == key.attempt && IsActive(task.state());
        });
    if (!wanted) left.push_back(absl::StrCat(key.FolderName(), " on ", where.node));
  }
  return left;
}

std::vector<std::string> GroundTruth::Unfinished() const {
  std::vector<std::string> unfinished;
  for (const auto& [id, job] : jobs_) {
    if (job.spec().long_running()) {
      const int running = static_cast<int>(
          std::count_if(job.tasks().begin(), job.tasks().end(),
                        [](const v1::Task& task) { return task.state() == v1::TASK_RUNNING; }));
      if (IsFinished(job.state()) || running == job.spec().num_tasks()) continue;
    } else if (IsFinished(job.state())) {
      continue;
    }
    unfinished.push_back(Describe(job));
  }
  return unfinished;
}

}  // namespace oneai::fabric::simulation
