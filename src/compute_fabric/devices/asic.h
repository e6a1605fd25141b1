// File: compute_fabric/devices/asic.h
//
// Inference accelerators behind the plugin C ABI (kernels/asic/asic_plugin.h), listed only: running
// programs is the business of kernels/asic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/devices/device.h"

namespace oneai::fabric {

// Loads the plugin at `path`, lists its devices as "asic-0", "asic-1", ... and closes it.
// `num_devices` is how many an emulator should show (0: its default) and a bound for hardware. A
// plugin or device whose name says that it is an emulator is marked so. NotFound: no such file or
// no entry point. FailedPrecondition: another ABI version. Unavailable: the plugin fails, in its
// words.
absl::StatusOr<std::vector<DeviceInfo>> ScanAsicPlugin(const std::string& path,
                                                       uint32_t num_devices);

// The same plugin kept open, to ask its devices again and again. Thread-compatible.
class AsicHealth {
 public:
  // Null: the plugin cannot be opened (ScanAsicPlugin says why).
  static std::unique_ptr<AsicHealth> Open(const std::string& path, uint32_t num_devices);
  ~AsicHealth();

  // The broken devices ("asic-1" -> the plugin's words).
  std::map<std::string, std::string> Poll();

 private:
  struct Plugin;
  explicit AsicHealth(std::unique_ptr<Plugin> plugin);
  std::unique_ptr<Plugin> plugin_;
};

}  // namespace oneai::fabric
