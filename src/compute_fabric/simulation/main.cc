// oneai-dst: the fabric's control plane under deterministic simulation.
//   oneai-dst --seed 17 --scenario crashes --trace     one seed, with everything that happens
//   oneai-dst --seconds 600 --first-seed 1             seed after seed for ten minutes
// Exit status: 0 every promise was kept, 1 one was broken, 2 bad flags.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <map>
#include <string>

#include "CLI/CLI.hpp"
#include "base/log/log.h"
#include "compute_fabric/simulation/run.h"

namespace {

using namespace oneai::fabric::simulation;  // NOLINT(google-build-using-namespace): wiring only

// Set by SIGINT and SIGTERM: the seed under way is the last, and the totals are printed.
volatile std::sig_atomic_t g_stop = 0;

struct Flags {
  uint64_t seed = 0;  // 0: many
  uint64_t first_seed = 1;
  int64_t num_seeds = 0;  // 0: until the time is over
  double seconds = 30;
  std::string scenario;
  double fault_minutes = 5;
  bool trace = false;
  bool keep_going = false;
};

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Totals {
  int64_t num_seeds = 0;
  int64_t num_failed = 0;
  int64_t num_jobs = 0;
  int64_t num_starts = 0;
  int64_t num_events = 0;
  absl::Duration simulated = absl::ZeroDuration();
  double cluster_hours = 0;
  std::map<std::string, int64_t> by_scenario;
  std::map<std::string, int64_t> by_violation;
};

void Add(const RunResult& result, Totals& totals) {
  ++totals.num_seeds;
  totals.num_jobs += result.num_jobs;
  totals.num_starts += result.num_starts;
  totals.num_events += result.num_events;
  totals.simulated += result.simulated;
  totals.cluster_hours += result.cluster_hours();
  ++totals.by_scenario[result.scenario];
  if (result.violation.empty()) return;
  ++totals.num_failed;
  ++totals.by_violation[result.violation.substr(0, result.violation.find(':'))];
}

void Print(const RunResult& result, const Flags& flags) {
  if (result.violation.empty()) return;
  std::printf("seed %llu (%s) breaks a promise\n  %s\n",
              static_cast<unsigned long long>(result.seed), result.scenario.c_str(),
              result.violation.c_str());
  if (!flags.trace) std::printf("what led to it:\n%s", result.story.c_str());
  std::printf("replay: %s\n", ReplayCommand(result).c_str());
}

void Print(const Totals& totals, double wall_seconds) {
  // The machine may be busy with other things; this thread's own time says what a seed costs.
  const double cpu_seconds = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  std::printf(
      "%lld seeds, %lld broke a promise; %.1f cluster-hours (nodes x hours), %.1f simulated hours "
      "in "
      "%.1f s of wall and %.1f s of processor time: %.0f x real time (%.0f x by processor), %.1f "
      "seeds/s; %lld jobs, %lld processes started, %lld events\n",
      static_cast<long long>(totals.num_seeds), static_cast<long long>(totals.num_failed),
      totals.cluster_hours, absl::ToDoubleHours(totals.simulated), wall_seconds, cpu_seconds,
      absl::ToDoubleSeconds(totals.simulated) / wall_seconds,
      absl::ToDoubleSeconds(totals.simulated) / cpu_seconds,
      static_cast<double>(totals.num_seeds) / wall_seconds, static_cast<long long>(totals.num_jobs),
      static_cast<long long>(totals.num_starts), static_cast<long long>(totals.num_events));
  for (const auto& [name, count] : totals.by_scenario)
    std::printf("  scenario %-12s %lld seeds\n", name.c_str(), static_cast<long long>(count));
  for (const auto& [name, count] : totals.by_violation)
    std::printf("  broken: %-30s %lld seeds\n", name.c_str(), static_cast<long long>(count));
}

int RunAll(const Flags& flags) {
  Totals totals;
  const auto start = std::chrono::steady_clock::now();
  uint64_t seed = flags.seed != 0 ? flags.seed : flags.first_seed;
  const int64_t limit = flags.seed != 0 ? 1 : flags.num_seeds;
  while (g_stop == 0 && ((limit > 0 && totals.num_seeds < limit) ||
                         (limit == 0 && SecondsSince(start) < flags.seconds))) {
    RunOptions options{.seed = seed, .live_trace = flags.trace};
    options.fault_time = absl::Minutes(flags.fault_minutes);
    options.scenario =
        flags.scenario.empty() ? ScenarioOf(seed) : FindScenario(flags.scenario).value();
    const RunResult result = RunSeed(options);
    Add(result, totals);
    Print(result, flags);
    if (!result.violation.empty() && !flags.keep_going) break;
    ++seed;
  }
  Print(totals, SecondsSince(start));
  return totals.num_failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Deterministic simulation of the compute fabric's control plane", "oneai-dst");
  app.add_option("--seed", flags.seed, "one seed")->check(CLI::PositiveNumber);
  app.add_option("--first-seed", flags.first_seed, "the first of many")->capture_default_str();
  app.add_option("--seeds", flags.num_seeds, "how many; 0: as many as --seconds allow")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", flags.seconds, "how long to go on (wall time)")
      ->envname("ONEAI_DST_SECONDS")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--scenario", flags.scenario, "what goes wrong; by seed when absent");
  app.add_option("--fault-minutes", flags.fault_minutes, "how long it goes wrong (simulated)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--trace", flags.trace, "print everything that happens");
  app.add_flag("--keep-going", flags.keep_going, "do not stop at the first broken promise");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!flags.scenario.empty()) {
    if (const auto scenario = FindScenario(flags.scenario); !scenario.ok()) {
      std::fprintf(stderr, "oneai-dst: %s\n", std::string(scenario.status().message()).c_str());
      return 2;
    }
  }
  for (const int signal_number : {SIGINT, SIGTERM})
    std::signal(signal_number, [](int) { g_stop = 1; });
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // who looks at its log sees what there is
  // The code under test warns of every fault; the trace says it better.
  if (const absl::Status logs =
          oneai::Log::Start({.component = "dst", .file = "", .level = oneai::LogLevel::kError});
      !logs.ok())
    return 1;
  return RunAll(flags);
}
