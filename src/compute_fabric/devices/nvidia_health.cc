#include "compute_fabric/devices/nvidia_health.h"

#include <dlfcn.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

using NvmlDevice = void*;
using NvmlEventSet = void*;

// nvml.h, nvmlEventData_t.
struct NvmlEvent {
  NvmlDevice device;
  unsigned long long type;
  unsigned long long data;
  unsigned int gpu_instance;
  unsigned int compute_instance;
};

constexpr unsigned long long kEventDoubleBitEcc = 0x2;
constexpr unsigned long long kEventXidCritical = 0x8;
constexpr int kErrorUncorrected = 1;  // NVML_MEMORY_ERROR_TYPE_UNCORRECTED
constexpr int kCounterVolatile = 0;   // NVML_VOLATILE_ECC
constexpr int kEventsPerPollMax = 64;

struct XidText {
  uint64_t xid;
  const char* text;
};
constexpr XidText kFaults[] = {
    {48, "double bit ECC error"},
    {62, "internal micro-controller halt"},
    {64, "row remapping or page retirement failed"},
    {74, "NVLink error"},
    {79, "GPU has fallen off the bus"},
    {92, "high rate of single bit ECC errors"},
    {94, "contained memory error"},
    {95, "uncontained memory error"},
    {109, "context switch timeout"},
    {119, "GSP does not answer"},
    {120, "GSP error"},
    {140, "unrecovered ECC error"},
    {143, "GPU initialization error"},
};

}  // namespace

std::string DescribeXidFault(uint64_t xid) {
  const auto* fault = std::find_if(std::begin(kFaults), std::end(kFaults),
                                   [&](const XidText& f) { return f.xid == xid; });
  if (fault == std::end(kFaults)) return "";
  return absl::StrCat("Xid ", xid, ": ", fault->text);
}

struct NvidiaHealth::Library {
  void* handle = nullptr;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned int*) = nullptr;
  int (*by_index)(unsigned int, NvmlDevice*) = nullptr;
  int (*ecc_errors)(NvmlDevice, int, int, unsigned long long*) = nullptr;
  int (*event_set_create)(NvmlEventSet*) = nullptr;
  int (*event_set_free)(NvmlEventSet) = nullptr;
  int (*register_events)(NvmlDevice, unsigned long long, NvmlEventSet) = nullptr;
  int (*wait)(NvmlEventSet, NvmlEvent*, unsigned int) = nullptr;
  std::vector<NvmlDevice> devices;  // by index; null: lost already
  NvmlEventSet events = nullptr;
  bool initialised = false;

  ~Library() {
    if (events != nullptr) event_set_free(events);
    if (initialised) shutdown();
    if (handle != nullptr) dlclose(handle);
  }
  template <typename F>
  bool Load(const char* symbol, F& function) {
    function = reinterpret_cast<F>(dlsym(handle, symbol));
    return function != nullptr;
  }
  bool LoadAll() {
    return Load("nvmlInit_v2", init) && Load("nvmlShutdown", shutdown) &&
           Load("nvmlDeviceGetCount_v2", count) &&
           Load("nvmlDeviceGetHandleByIndex_v2", by_index) &&
           Load("nvmlDeviceGetTotalEccErrors", ecc_errors) &&
           Load("nvmlEventSetCreate", event_set_create) &&
           Load("nvmlEventSetFree", event_set_free) &&
           Load("nvmlDeviceRegisterEvents", register_events) && Load("nvmlEventSetWait_v2", wait);
  }
};

NvidiaHealth::NvidiaHealth(std::unique_ptr<Library> library) : library_(std::move(library)) {}
NvidiaHealth::~NvidiaHealth() = default;

std::unique_ptr<NvidiaHealth> NvidiaHealth::Open(const std::string& path) {
  auto library = std::make_unique<Library>();
  library->handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr || !library->LoadAll() || library->init() != 0) return nullptr;
  library->initialised = true;
  unsigned int count = 0;
  if (library->count(&count) != 0 || library->event_set_create(&library->events) != 0) {
    return nullptr;
  }
  for (unsigned int i = 0; i < count; ++i) {
    NvmlDevice device = nullptr;
    if (library->by_index(i, &device) != 0) device = nullptr;
    // A GPU without ECC refuses that event; its Xids are watched all the same.
    if (device != nullptr &&
        library->register_events(device, kEventXidCritical | kEventDoubleBitEcc, library->events) !=
            0) {
      library->register_events(device, kEventXidCritical, library->events);
    }
    library->devices.push_back(device);
  }
  return std::unique_ptr<NvidiaHealth>(new NvidiaHealth(std::move(library)));
}

std::map<std::string, std::string> NvidiaHealth::Poll() {
  const auto name_of = [&](NvmlDevice device) {
    const auto at = std::find(library_->devices.begin(), library_->devices.end(), device);
    return absl::StrCat("gpu-", at - library_->devices.begin());
  };
  NvmlEvent event{};
  for (int i = 0; i < kEventsPerPollMax && library_->wait(library_->events, &event, 0) == 0; ++i) {
    std::string fault;
    if (event.type == kEventXidCritical) fault = DescribeXidFault(event.data);
    if (event.type == kEventDoubleBitEcc) fault = "double bit ECC error";
    if (!fault.empty()) broken_.emplace(name_of(event.device), std::move(fault));
  }
  std::map<std::string, std::string> broken = broken_;
  for (size_t i = 0; i < library_->devices.size(); ++i) {
    unsigned long long errors = 0;
    if (library_->devices[i] == nullptr) {
      broken.emplace(absl::StrCat("gpu-", i), "NVML cannot reach this GPU");
    } else if (library_->ecc_errors(library_->devices[i], kErrorUncorrected, kCounterVolatile,
                                    &errors) == 0 &&
               errors > 0) {
      broken.emplace(absl::StrCat("gpu-", i), absl::StrCat(errors, " uncorrectable ECC errors"));
    }
  }
  return broken;
}

}  // namespace oneai::fabric
