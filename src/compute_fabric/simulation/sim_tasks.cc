#include "compute_fabric/simulation/sim_tasks.h"

#include <signal.h>

#include "absl/strings/str_cat.h"

namespace oneai::fabric::simulation {
namespace {

constexpr absl::Duration kForgottenFor = absl::Hours(24);  // as TaskTable's

}  // namespace

SimTasks::SimTasks(Simulator* simulator, Machine* machine)
    : simulator_(simulator), machine_(machine) {
  for (const auto& [key, folder] : machine_->folders) {
    TaskStatus& entry = entries_[key];
    entry.key = key;
    if (!machine_->ShimLives(key)) Conclude(key, entry);
  }
}

// As TaskTable::Conclude: the exit record, or an end with signal 9 for a shim that left none.
void SimTasks::Conclude(const TaskKey& key, TaskStatus& entry) {
  Machine::Folder& folder = machine_->folders.at(key);
  if (!folder.exit.has_value()) {
    ExitRecord lost;
    lost.signal = SIGKILL;
    lost.message = "the task's shim died without an exit status; its processes were killed";
    folder.exit = lost;
  }
  entry.exit = *folder.exit;
  entry.phase = TaskPhase::kExited;
  entry.ready = false;
}

void SimTasks::Start(const TaskOrder& order, absl::Time now) {
  const TaskKey& key = order.key;
  if (entries_.contains(key) || machine_->forgotten.contains(key)) return;
  TaskStatus& entry = entries_[key];
  entry.key = key;
  entry.exit.started_unix_ms = absl::ToUnixMillis(now);
  if (machine_->disk_full) {
    // Known in memory only: nothing could be written.
    entry.phase = TaskPhase::kExited;
    entry.exit.exit_code = 126;
    entry.exit.message = "could not start the task: disk full (simulated)";
    return;
  }
  machine_->StartShim(order, !dies_before_shim_);
}

void SimTasks::Stop(const TaskKey& key, absl::Time) {
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.phase != TaskPhase::kRunning) return;
  it->second.phase = TaskPhase::kStopping;
  machine_->SignalShim(key);
}

void SimTasks::Forget(const TaskKey& key, absl::Time now) {
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.phase != TaskPhase::kExited || machine_->disk_full) return;
  machine_->forgotten[key] = now;
  machine_->folders.erase(key);
  entries_.erase(it);
  std::erase_if(machine_->forgotten,
                [&](const auto& item) { return now - item.second >= kForgottenFor; });
}

bool SimTasks::Poll(absl::Time) {
  bool changed = false;
  for (auto& [key, entry] : entries_) {
    if (entry.phase == TaskPhase::kExited) continue;
    if (!machine_->ShimLives(key)) {
      Conclude(key, entry);
      changed = true;
    } else if (!entry.ready && machine_->folders.at(key).ready) {
      entry.ready = true;
      changed = true;
    }
  }
  return changed;
}

std::vector<KnownTask> SimTasks::Known() const {
  std::vector<KnownTask> known;
  for (const auto& [key, entry] : entries_) known.push_back({key, entry.phase});
  for (const auto& [key, time] : machine_->forgotten) known.push_back({key, TaskPhase::kForgotten});
  return known;
}

std::vector<TaskStatus> SimTasks::Statuses() const {
  std::vector<TaskStatus> statuses;
  for (const auto& [key, entry] : entries_) statuses.push_back(entry);
  return statuses;
}

std::vector<TaskKey> SimTasks::Superseded() const {
  std::vector<TaskKey> superseded;
  for (const auto& [key, entry] : entries_) {
    if (entry.phase != TaskPhase::kRunning) continue;
    const auto& env = machine_->folders.at(key).order.env;
    const auto artifact_dir = env.find("ONEAI_ARTIFACT_DIR");
    if (artifact_dir == env.end()) continue;
    if (machine_->storage().PlacedAttempt(artifact_dir->second, key.rank) > key.attempt)
      superseded.push_back(key);
  }
  return superseded;
}

absl::Status SimEpochGate::Admit(int64_t epoch) {
  if (epoch < machine_->epoch) {
    return absl::AbortedError(absl::StrCat("answer of a replaced controller: its epoch is ", epoch,
                                           ", this node has seen ", machine_->epoch));
  }
  if (epoch > machine_->epoch && machine_->disk_full)
    return absl::ResourceExhaustedError("disk full (simulated)");
  machine_->epoch = epoch;
  return absl::OkStatus();
}

}  // namespace oneai::fabric::simulation
