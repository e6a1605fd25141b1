// File: compute_fabric/node/health_monitor.h
//
// What the node finds out about itself: broken accelerators (NVML events, ASIC plugins) and an
// administrator's probe command.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace oneai::fabric {

struct CheckResult {
  std::string name;  // "device:gpu-3", "probe"
  bool healthy = true;
  std::string message;
  absl::Time since = absl::InfinitePast();  // when it became so
};

struct NodeHealth {
  std::vector<CheckResult> checks;                    // by name
  std::map<std::string, std::string> broken_devices;  // id -> why
};

struct ProbeOptions {
  std::vector<std::string> argv;  // empty: no probe
  absl::Duration interval = absl::Seconds(30);
  absl::Duration timeout = absl::Seconds(10);  // it is killed, and has failed, after this
  std::string output_file;                     // its last line is what the check says
};

// The checks after a round, from those before it: a check keeps its `since` while it says the same;
// a device that was broken and is not any more becomes a healthy check. Pure.
std::vector<CheckResult> UpdateChecks(const std::vector<CheckResult>& before,
                                      const std::map<std::string, std::string>& broken_devices,
                                      const std::optional<CheckResult>& probe, absl::Time now);

// Start() to Stop(). Thread-safe.
class HealthMonitor {
 public:
  // Asks what is broken now; called from the monitor's thread, once an interval.
  using DeviceSource = std::function<std::map<std::string, std::string>()>;

  HealthMonitor(std::vector<DeviceSource> sources, ProbeOptions probe,
                absl::Duration interval = absl::Seconds(1))
      : sources_(std::move(sources)), probe_(std::move(probe)), interval_(interval) {}
  ~HealthMonitor() { Stop(); }

  void Start();
  void Stop();
  // What is known, when that has changed since the last call.
  std::optional<NodeHealth> TakeIfChanged();

 private:
  void Run();
  CheckResult RunProbe();
  bool IsStopping() const;

  const std::vector<DeviceSource> sources_;
  const ProbeOptions probe_;
  const absl::Duration interval_;
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool changed_ ABSL_GUARDED_BY(mu_) = false;
  NodeHealth health_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace oneai::fabric
