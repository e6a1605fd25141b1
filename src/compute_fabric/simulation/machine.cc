#include "compute_fabric/simulation/machine.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/numbers.h"

namespace oneai::fabric::simulation {
namespace {

constexpr absl::Duration kAgentMissing = absl::Seconds(5);  // as the shim's

int64_t NumberIn(const TaskOrder& order, const char* variable) {
  const auto it = order.env.find(variable);
  int64_t number = 0;
  if (it != order.env.end() && !absl::SimpleAtoi(it->second, &number)) number = 0;
  return number;
}

}  // namespace

absl::Status SharedStorage::Announce(const std::filesystem::path& artifact_dir,
                                     std::optional<int> rank, int attempt) {
  if (full_) return absl::ResourceExhaustedError("the artifact disk is full (simulated)");
  placed_[{artifact_dir.string(), rank.value_or(-1)}] = attempt;
  return absl::OkStatus();
}

int SharedStorage::PlacedAttempt(const std::string& artifact_dir, int rank) const {
  int newest = 0;
  for (const int whose : {-1, rank}) {
    const auto it = placed_.find({artifact_dir, whose});
    if (it != placed_.end()) newest = std::max(newest, it->second);
  }
  return newest;
}

void Machine::Changed() {
  if (on_change_) on_change_();
}

void Machine::AfterInShim(const TaskKey& key, absl::Duration delay,
                          std::function<void(Folder&)> action) {
  const uint64_t life = folders.at(key).life;
  simulator_->After(delay, [this, key, life, action = std::move(action)] {
    const auto it = folders.find(key);
    if (it != folders.end() && it->second.life == life) action(it->second);
  });
}

void Machine::StartShim(const TaskOrder& order, bool shim_comes_up) {
  Folder& folder = folders[order.key];
  folder.order = order;
  ++folder.life;
  if (!shim_comes_up) return;
  folder.starting = true;
  AfterInShim(order.key,
              simulator_->random().Between(absl::Milliseconds(5), absl::Milliseconds(80)),
              [this, key = order.key](Folder&) { BeginProcess(key); });
}

void Machine::BeginProcess(const TaskKey& key) {
  Folder& folder = folders.at(key);
  Random& random = simulator_->random();
  folder.starting = false;
  folder.process = true;
  truth_->ProcessStarted(name(), folder.order);
  AfterInShim(key, absl::Milliseconds(100), [this](Folder& started) {
    started.ready = true;
    Changed();
  });
  const bool fails =
      random.Chance(static_cast<double>(NumberIn(folder.order, kFailureVariable)) / 1000);
  absl::Duration length = absl::Milliseconds(NumberIn(folder.order, kDurationVariable));
  if (length == absl::ZeroDuration()) {
    if (!fails) return;
    length = absl::Seconds(60);
  }
  length *= fails ? random.Fraction() : 0.95 + 0.1 * random.Fraction();
  AfterInShim(key, length, [this, key, fails](Folder&) {
    ExitRecord exit;
    exit.exit_code = fails ? 1 : 0;
    EndProcess(key, exit);
  });
}

void Machine::EndProcess(const TaskKey& key, std::optional<ExitRecord> exit) {
  Folder& folder = folders.at(key);
  ++folder.life;
  folder.starting = false;
  folder.ready = false;
  if (folder.process) {
    folder.process = false;
    truth_->ProcessEnded(name(), key);
  }
  folder.exit = std::move(exit);
  Changed();
}

void Machine::SignalShim(const TaskKey& key) {
  const auto it = folders.find(key);
  if (it == folders.end() || it->second.stopping) return;
  Folder& folder = it->second;
  if (folder.starting) return EndProcess(key, std::nullopt);  // the signal kills the young shim
  if (!folder.process) return;
  folder.stopping = true;
  const absl::Duration grace = absl::Milliseconds(std::max<int64_t>(folder.order.grace_ms, 1));
  // A third of the tasks ignore SIGTERM and are killed when their grace is over.
  Random& random = simulator_->random();
  const bool obeys = random.Chance(0.67);
  const absl::Duration takes =
      obeys ? random.Between(absl::ZeroDuration(), grace) : grace + absl::Milliseconds(200);
  AfterInShim(key, takes, [this, key, obeys](Folder&) {
    ExitRecord exit;
    exit.signal = obeys ? SIGTERM : SIGKILL;
    EndProcess(key, exit);
  });
}

bool Machine::ShimLives(const TaskKey& key) const {
  const auto it = folders.find(key);
  return it != folders.end() && (it->second.process || it->second.starting);
}

void Machine::AgentLives() { ++agent_absence_; }

void Machine::AgentIsGone() {
  const uint64_t absence = ++agent_absence_;
  simulator_->After(kAgentMissing, [this, absence] { LookForSuccessors(absence); });
  simulator_->After(fence, [this, absence] {
    if (absence != agent_absence_ || !powered_) return;
    for (const TaskKey& key : LiveTasks()) {
      simulator_->trace().Add(name(), "fence: no agent, stopping ", key.FolderName());
      SignalShim(key);
    }
  });
}

void Machine::LookForSuccessors(uint64_t absence) {
  if (absence != agent_absence_ || !powered_) return;
  for (const TaskKey& key : LiveTasks()) {
    const auto& env = folders.at(key).order.env;
    const auto dir = env.find("ONEAI_ARTIFACT_DIR");
    if (dir == env.end() || storage_->PlacedAttempt(dir->second, key.rank) <= key.attempt) continue;
    simulator_->trace().Add(name(), "no agent, and a successor: stopping ", key.FolderName());
    SignalShim(key);
  }
  simulator_->After(absl::Seconds(1), [this, absence] { LookForSuccessors(absence); });
}

std::vector<TaskKey> Machine::LiveTasks() const {
  std::vector<TaskKey> live;
  for (const auto& [key, folder] : folders) {
    if (folder.process || folder.starting) live.push_back(key);
  }
  return live;
}

void Machine::KillShim(const TaskKey& key) {
  simulator_->trace().Add(name(), "shim killed: ", key.FolderName());
  EndProcess(key, std::nullopt);
}

void Machine::SetBroken(const std::string& device, bool is_broken) {
  const bool changed = is_broken ? broken.insert(device).second : broken.erase(device) > 0;
  if (!changed) return;
  ++health_version;
  Changed();
}

void Machine::PowerCut() {
  powered_ = false;
  ++agent_absence_;
  for (const TaskKey& key : LiveTasks()) EndProcess(key, std::nullopt);
}

}  // namespace oneai::fabric::simulation
