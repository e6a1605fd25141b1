// File: compute_fabric/devices/nvidia_health.h
//
// Faults of NVIDIA GPUs as the driver reports them: Xid events and ECC errors.
//
// Source: NVML API reference, nvmlEventSetWait_v2 and nvmlDeviceGetTotalEccErrors; NVIDIA, "XID
// Errors" (which of them are the hardware's fault and which the application's).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace oneai::fabric {

// What an Xid says about the GPU, in words; empty: an application's error, or one that the driver
// recovers from. Pure.
std::string DescribeXidFault(uint64_t xid);

// Watches all GPUs of this machine. Thread-compatible.
class NvidiaHealth {
 public:
  // Null: no driver, or one that cannot report events.
  static std::unique_ptr<NvidiaHealth> Open(const std::string& library = "libnvidia-ml.so.1");
  ~NvidiaHealth();

  // The broken GPUs ("gpu-3" -> "Xid 79: ..."). Does not wait. An Xid is an event, not a state:
  // what it broke stays broken until the agent starts again after the GPU was reset or replaced.
  // Uncorrectable ECC errors count since the driver was loaded.
  std::map<std::string, std::string> Poll();

 private:
  struct Library;
  explicit NvidiaHealth(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
  std::map<std::string, std::string> broken_;
};

}  // namespace oneai::fabric
