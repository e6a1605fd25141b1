#include "cli/up/supervisor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace oneai::cli {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kStopGrace = absl::Seconds(20);
constexpr absl::Duration kPoll = absl::Milliseconds(50);
constexpr absl::Duration kBackoffMin = absl::Milliseconds(200);
constexpr absl::Duration kBackoffMax = absl::Seconds(5);
// What has served, or lived for so long, did not die of its start: it is started again without
// delay, however often somebody kills it.
constexpr absl::Duration kCameUp = absl::Milliseconds(500);

volatile std::sig_atomic_t g_stop = 0;

absl::Status WriteUpState(const std::filesystem::path& dir, const UpState& state) {
  nlohmann::ordered_json components = nlohmann::ordered_json::array();
  for (const RunningComponent& c : state.components) {
    components.push_back({{"name", c.name}, {"pid", c.pid}, {"start_ticks", c.start_ticks}});
  }
  nlohmann::ordered_json plan = nlohmann::ordered_json::array();
  for (const Component& c : state.plan) {
    plan.push_back({{"name", c.name},
                    {"argv", c.argv},
                    {"log", c.log.string()},
                    {"endpoints_file", c.endpoints_file.string()},
                    {"cleanup_argv", c.cleanup_argv}});
  }
  const nlohmann::ordered_json json = {{"supervisor", state.supervisor},
                                       {"ready", state.ready},
                                       {"components", components},
                                       {"plan", plan}};
  return WriteFileAtomically(dir / "up.json", json.dump(2) + "\n", 0600);
}

std::string LastLines(const std::filesystem::path& file, size_t bytes) {
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return "";
  return text->size() <= bytes ? *text : text->substr(text->size() - bytes);
}

std::vector<std::string> Strings(const nlohmann::json& object, const char* key) {
  std::vector<std::string> strings;
  for (const nlohmann::json& item : object.value(key, nlohmann::json::array())) {
    if (item.is_string()) strings.push_back(item.get<std::string>());
  }
  return strings;
}

// One component and when it may be started again.
struct Slot {
  const Component* component;
  RunningComponent process;
  absl::Duration backoff = kBackoffMin;
  absl::Time started;
  absl::Time not_before = absl::InfinitePast();
};

class Supervisor {
 public:
  explicit Supervisor(const FabricPlan& plan) : plan_(plan) {
    for (const Component& component : plan.components)
      slots_.push_back({&component, {component.name}});
  }

  absl::Status Run() {
    absl::Status status;
    if (Adopt() > 0) {
      RestartDead();
    } else {
      status = StartAll();
    }
    if (status.ok()) {
      state_.ready = true;
      status = Save();
    }
    while (status.ok() && g_stop == 0) {
      absl::SleepFor(kPoll);
      RestartDead();
    }
    Stop();
    return status;
  }

  // Takes over what runs, without a supervisor, and stops it.
  void TakeOverAndStop() {
    Adopt();
    Stop();
  }

 private:
  // Processes that a killed supervisor left running belong to this one. Returns how many.
  int Adopt() {
    int num_adopted = 0;
    for (Slot& slot : slots_) {
      slot.process = FindProcess(*slot.component);
      if (slot.process.pid == 0) continue;
      ++num_adopted;
      slot.started = absl::Now();
      Log::Info("adopted a running component",
                {{"name", slot.process.name}, {"pid", slot.process.pid}});
    }
    return num_adopted;
  }

  void Stop() {
    for (auto slot = slots_.rbegin(); slot != slots_.rend(); ++slot) {
      const bool was_alive = IsAlive(slot->process);
      if (was_alive) kill(slot->process.pid, SIGTERM);
      if (!AwaitEnd(*slot) || !was_alive) CleanUp(*slot);
    }
    std::error_code ignored;
    std::filesystem::remove(plan_.dir / "up.json", ignored);
  }

  absl::Status StartAll() {
    for (Slot& slot : slots_) {
      RETURN_IF_ERROR(Start(slot));
      RETURN_IF_ERROR(AwaitServing(slot));
    }
    return absl::OkStatus();
  }

  absl::Status Spawn(Slot& slot, const std::vector<std::string>& argv) {
    ChildOptions options;
    options.argv = argv;
    options.env = CurrentEnvironment();
    options.output_file = slot.component->log.string();
    absl::StatusOr<pid_t> pid = SpawnChild(options);
    RETURN_IF_ERROR(Annotate(pid.status(), absl::StrCat("starting ", slot.component->name)));
    slot.process = IdentifyProcess(slot.component->name, *pid);
    slot.started = absl::Now();
    return absl::OkStatus();
  }

  absl::Status Start(Slot& slot) {
    std::error_code ignored;
    if (!slot.component->endpoints_file.empty())
      std::filesystem::remove(slot.component->endpoints_file, ignored);
    RETURN_IF_ERROR(Spawn(slot, slot.component->argv));
    return Save();
  }

  // A component that serves says so in its endpoints file; a node only has to stay up for a moment.
  absl::Status AwaitServing(const Slot& slot) {
    const bool serves = !slot.component->endpoints_file.empty();
    const absl::Time deadline = absl::Now() + (serves ? kStartTimeout : absl::Milliseconds(100));
    while (absl::Now() < deadline && g_stop == 0) {
      if (serves && std::filesystem::exists(slot.component->endpoints_file))
        return absl::OkStatus();
      Reap();
      if (!IsAlive(slot.process)) {
        return absl::UnavailableError(absl::StrCat(
            slot.component->name,
            " ended while starting (if a port is taken, choose others with --port-base); its last "
            "words (",
            slot.component->log.string(), "):\n", LastLines(slot.component->log, 1500)));
      }
      absl::SleepFor(kPoll);
    }
    if (g_stop != 0) return absl::CancelledError("stopped while starting");
    if (!serves) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat(slot.component->name, " did not begin to serve within ",
                     absl::FormatDuration(kStartTimeout), "; see ", slot.component->log.string()));
  }

  static bool CameUp(const Slot& slot) {
    if (slot.process.pid == 0) return false;  // it has not been started again yet
    const std::string file = slot.component->endpoints_file.string();
    std::error_code ignored;
    if (!file.empty() && std::filesystem::exists(file, ignored)) return true;
    return IsAlive(slot.process) && absl::Now() - slot.started > kCameUp;
  }

  void Reap() {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }

  void RestartDead() {
    Reap();
    for (Slot& slot : slots_) {
      if (CameUp(slot)) slot.backoff = kBackoffMin;
      if (IsAlive(slot.process)) continue;
      if (slot.process.pid != 0) {
        Log::Warning("a component died and will be restarted",
                     {{"name", slot.component->name}, {"pid", slot.process.pid}});
        slot.not_before = absl::Now() + slot.backoff;
        slot.backoff = std::min(slot.backoff * 2, kBackoffMax);
        slot.process.pid = 0;
      }
      if (absl::Now() < slot.not_before) continue;
      if (absl::Status started = Start(slot); !started.ok()) {
        Log::Error("cannot restart a component",
                   {{"name", slot.component->name}, {"error", started}});
        slot.not_before = absl::Now() + kBackoffMax;
      }
    }
  }

  // False: it had to be killed.
  bool AwaitEnd(const Slot& slot) {
    const absl::Time deadline = absl::Now() + kStopGrace;
    while (IsAlive(slot.process) && absl::Now() < deadline) {
      absl::SleepFor(kPoll);
      Reap();
    }
    if (!IsAlive(slot.process)) return true;
    Log::Warning("a component did not stop and is killed", {{"name", slot.component->name}});
    kill(slot.process.pid, SIGKILL);
    while (IsAlive(slot.process)) {
      absl::SleepFor(kPoll);
      Reap();
    }
    return false;
  }

  // The tasks of a node whose agent was killed go on without it; nothing may be left running.
  void CleanUp(Slot& slot) {
    if (slot.component->cleanup_argv.empty()) return;
    if (absl::Status status = Spawn(slot, slot.component->cleanup_argv); !status.ok()) {
      Log::Error("cannot clean up after a component",
                 {{"name", slot.component->name}, {"error", status}});
      return;
    }
    AwaitEnd(slot);
  }

  absl::Status Save() {
    state_.supervisor = getpid();
    state_.components.clear();
    state_.plan = plan_.components;
    for (const Slot& slot : slots_) {
      if (slot.process.pid != 0) state_.components.push_back(slot.process);
    }
    return WriteUpState(plan_.dir, state_);
  }

  const FabricPlan& plan_;
  std::vector<Slot> slots_;
  UpState state_;
};

// The lock's descriptor, or -1 when somebody else holds it.
int TryLock(const std::filesystem::path& dir) {
  const int fd = open((dir / "up.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

absl::StatusOr<UpState> ReadUpState(const std::filesystem::path& dir) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(dir / "up.json", 1 << 20));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("components") || !json["components"].is_array()) {
    return absl::DataLossError(
        absl::StrCat((dir / "up.json").string(), " is damaged; remove it if nothing runs there"));
  }
  UpState state;
  state.supervisor = json.value("supervisor", 0);
  state.ready = json.value("ready", false);
  for (const nlohmann::json& item : json["components"]) {
    if (!item.is_object()) continue;
    state.components.push_back(
        {item.value("name", ""), item.value("pid", 0), item.value("start_ticks", int64_t{0})});
  }
  for (const nlohmann::json& item : json.value("plan", nlohmann::json::array())) {
    if (!item.is_object()) continue;
    state.plan.push_back({item.value("name", ""), Strings(item, "argv"), item.value("log", ""),
                          item.value("endpoints_file", ""), Strings(item, "cleanup_argv")});
  }
  return state;
}

bool IsSupervised(const std::filesystem::path& dir) {
  if (!std::filesystem::exists(dir / "up.lock")) return false;
  const int fd = TryLock(dir);
  if (fd >= 0) close(fd);
  return fd < 0;
}

absl::Status Supervise(const FabricPlan& plan) {
  RETURN_IF_ERROR(PrepareFolder(plan));
  const int lock = TryLock(plan.dir);
  if (lock < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the fabric in ", plan.dir.string(), " is already up (`oneai status`, `oneai down`)"));
  }
  const absl::Cleanup unlock = [lock] { close(lock); };
  g_stop = 0;
  std::signal(SIGTERM, [](int) { g_stop = 1; });
  std::signal(SIGINT, [](int) { g_stop = 1; });
  std::signal(SIGHUP, SIG_IGN);
  RETURN_IF_ERROR(WriteClientConfig(plan.dir, plan.client));
  return Supervisor(plan).Run();
}

absl::Status StopFabric(const std::filesystem::path& dir) {
  const absl::StatusOr<UpState> state = ReadUpState(dir);
  const bool supervised = IsSupervised(dir);
  if (!state.ok() && !supervised)
    return absl::NotFoundError(absl::StrCat("no fabric runs in ", dir.string()));
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  if (supervised) {
    if (!state.ok()) return Annotate(state.status(), "a supervisor is starting; try again");
    kill(state->supervisor, SIGTERM);
    while (IsSupervised(dir) && absl::Now() < deadline) absl::SleepFor(kPoll);
    if (IsSupervised(dir))
      return absl::DeadlineExceededError("the fabric is still stopping after a minute");
    return absl::OkStatus();
  }
  // The supervisor was killed: stop what it left. The lock keeps a new one from starting meanwhile.
  const int lock = TryLock(dir);
  if (lock < 0)
    return absl::UnavailableError("a supervisor has started meanwhile; run `oneai down` again");
  const absl::Cleanup unlock = [lock] { close(lock); };
  FabricPlan plan;
  plan.dir = dir;
  plan.components = state->plan;
  Supervisor(plan).TakeOverAndStop();
  return absl::OkStatus();
}

}  // namespace oneai::cli
