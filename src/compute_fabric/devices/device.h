// File: compute_fabric/devices/device.h
//
// What a machine has to offer, as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oneai::fabric {

struct DeviceInfo {
  std::string id;    // unique on the node: "cpu-0", "gpu-1", "asic-0"
  std::string kind;  // what jobs ask for: "x86-amx", "nvidia-h100-80g", "hanguang-800"
  std::string name;  // the vendor's words; an emulator says so here
  int64_t memory_bytes = 0;
  bool emulated = false;
  bool healthy = true;
  std::string health_message;
  std::string device_node;  // "/dev/nvidia0"; empty: none, or unknown
  std::string
      uuid;  // vendor's unique id where there is one (NVIDIA): what CUDA_VISIBLE_DEVICES takes
};

// Everything found, and in words what was looked for and could not be used.
struct DeviceScan {
  std::vector<DeviceInfo> devices;
  std::vector<std::string> remarks;
};

}  // namespace oneai::fabric
