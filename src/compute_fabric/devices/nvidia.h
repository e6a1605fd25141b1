// File: compute_fabric/devices/nvidia.h
//
// NVIDIA GPUs through NVML, loaded at run time: a machine without the driver simply has none.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "compute_fabric/devices/device.h"

namespace oneai::fabric {

// The kind of a GPU from NVML's product name and memory: ("NVIDIA H100 80GB HBM3", 80 GiB) is
// "nvidia-h100-80g". Pure. The size is the name's own when it has one, else the memory rounded up
// to whole GiB.
std::string NvidiaKind(absl::string_view name, int64_t memory_bytes);

// Asks NVML in `library` once. An absent library gives nothing and no remark; one that fails is a
// remark. Source: NVML API reference, nvmlInit_v2, nvmlDeviceGetCount_v2,
// nvmlDeviceGetHandleByIndex_v2.
DeviceScan ScanNvidia(const std::string& library = "libnvidia-ml.so.1");

}  // namespace oneai::fabric
