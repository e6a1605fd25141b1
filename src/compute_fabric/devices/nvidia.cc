// File: compute_fabric/devices/nvidia.cc
#include "compute_fabric/devices/nvidia.h"

#include <dlfcn.h>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace oneai::fabric {
namespace {

// The part of NVML's C ABI in use. NVML_SUCCESS is 0.
struct NvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
using NvmlDevice = void*;

struct Nvml {
  int (*init)();
  int (*shutdown)();
  int (*count)(unsigned int*);
  int (*by_index)(unsigned int, NvmlDevice*);
  int (*name)(NvmlDevice, char*, unsigned int);
  int (*memory)(NvmlDevice, NvmlMemory*);
  int (*uuid)(NvmlDevice, char*, unsigned int);
  int (*minor)(NvmlDevice, unsigned int*);
};

template <typename F>
bool Load(void* library, const char* symbol, F& function) {
  function = reinterpret_cast<F>(dlsym(library, symbol));
  return function != nullptr;
}

bool LoadAll(void* library, Nvml& nvml) {
  return Load(library, "nvmlInit_v2", nvml.init) && Load(library, "nvmlShutdown", nvml.shutdown) &&
         Load(library, "nvmlDeviceGetCount_v2", nvml.count) &&
         Load(library, "nvmlDeviceGetHandleByIndex_v2", nvml.by_index) &&
         Load(library, "nvmlDeviceGetName", nvml.name) &&
         Load(library, "nvmlDeviceGetMemoryInfo", nvml.memory) &&
         Load(library, "nvmlDeviceGetUUID", nvml.uuid) &&
         Load(library, "nvmlDeviceGetMinorNumber", nvml.minor);
}

DeviceInfo Describe(const Nvml& nvml, unsigned int index) {
  DeviceInfo device;
  device.id = absl::StrCat("gpu-", index);
  char name[96] = "";
  char uuid[96] = "";
  NvmlMemory memory{};
  NvmlDevice handle = nullptr;
  if (nvml.by_index(index, &handle) != 0 || nvml.name(handle, name, sizeof(name)) != 0 ||
      nvml.memory(handle, &memory) != 0 || nvml.uuid(handle, uuid, sizeof(uuid)) != 0) {
    device.kind = "nvidia-unknown";
    device.healthy = false;
    device.health_message = "NVML cannot read this GPU; see `nvidia-smi`";
    return device;
  }
  device.name = name;
  device.uuid = uuid;
  device.memory_bytes = static_cast<int64_t>(memory.total);
  device.kind = NvidiaKind(device.name, device.memory_bytes);
  unsigned int minor = 0;
  if (nvml.minor(handle, &minor) == 0) device.device_node = absl::StrCat("/dev/nvidia", minor);
  return device;
}

}  // namespace

std::string NvidiaKind(absl::string_view name, int64_t memory_bytes) {
  static constexpr absl::string_view kMakers[] = {"nvidia", "tesla", "geforce", "quadro"};
  static constexpr absl::string_view kSeries[] = {"rtx", "gtx"};
  const std::string lower = absl::AsciiStrToLower(name);
  std::string model;
  int64_t gigabytes = (memory_bytes + (int64_t{1} << 30) - 1) >> 30;
  for (absl::string_view word : absl::StrSplit(lower, absl::ByAnyChar(" -"), absl::SkipEmpty())) {
    absl::string_view number = word;
    int64_t size = 0;
    if (absl::ConsumeSuffix(&number, "gb") && absl::SimpleAtoi(number, &size)) {
      gigabytes = size;
      continue;
    }
    if (absl::c_linear_search(kMakers, word)) continue;
    // "rtx 4090": the series belongs to the model; whatever follows the model is a form factor.
    if (model.empty() || absl::c_linear_search(kSeries, model)) {
      model = model.empty() ? std::string(word) : absl::StrCat(model, "-", word);
    }
  }
  return absl::StrCat("nvidia-", model.empty() ? "unknown" : model, "-", gigabytes, "g");
}

DeviceScan ScanNvidia(const std::string& path) {
  DeviceScan scan;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return scan;
  Nvml nvml{};
  unsigned int count = 0;
  if (!LoadAll(library, nvml)) {
    scan.remarks.push_back(absl::StrCat(path, " lacks functions of NVML 2; update the driver"));
  } else if (const int error = nvml.init(); error != 0) {
    scan.remarks.push_back(absl::StrCat("nvmlInit_v2 failed with ", error, "; see `nvidia-smi`"));
  } else {
    if (nvml.count(&count) != 0) scan.remarks.push_back("NVML cannot count the GPUs");
    for (unsigned int i = 0; i < count; ++i) scan.devices.push_back(Describe(nvml, i));
    nvml.shutdown();
  }
  dlclose(library);
  return scan;
}

}  // namespace oneai::fabric
