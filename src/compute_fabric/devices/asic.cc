// File: compute_fabric/devices/asic.cc
#include "compute_fabric/devices/asic.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/asic/asic_plugin.h"

namespace oneai::fabric {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? "" : text; }

bool SaysEmulator(const std::string& text) {
  return absl::StrContains(absl::AsciiStrToLower(text), "emulat");
}

absl::StatusOr<const OneaiAsicApi*> EntryPoint(void* library, const std::string& path) {
  const auto get_api =
      reinterpret_cast<decltype(&OneaiAsicGetApi)>(dlsym(library, ONEAI_ASIC_ENTRY_POINT));
  if (get_api == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(path, " does not export ", ONEAI_ASIC_ENTRY_POINT, "; it is no ASIC plugin"));
  }
  const OneaiAsicApi* api = get_api();
  // Everything up to `device_info` is needed here; a table that ends before has another layout.
  if (api == nullptr || api->struct_size < offsetof(OneaiAsicApi, allocate) ||
      api->abi_version != ONEAI_ASIC_ABI_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " was built for another plugin ABI; this agent speaks version ",
                     ONEAI_ASIC_ABI_VERSION));
  }
  return api;
}

DeviceInfo Describe(const OneaiAsicApi& api, OneaiAsicSession* session, uint32_t index) {
  DeviceInfo device;
  device.id = absl::StrCat("asic-", index);
  OneaiAsicDeviceInfo info{};
  info.struct_size = sizeof(info);
  OneaiAsicError error{};
  error.struct_size = sizeof(error);
  if (api.device_info(session, index, &info, &error) != ONEAI_ASIC_OK) {
    device.kind = "asic-unknown";
    device.healthy = false;
    device.health_message = error.message;
    return device;
  }
  device.kind = TextOf(info.kind);
  device.name = TextOf(info.name);
  device.memory_bytes = static_cast<int64_t>(info.memory_bytes);
  device.emulated = SaysEmulator(device.name) || SaysEmulator(TextOf(api.vendor));
  if (device.emulated && !SaysEmulator(device.name)) {
    absl::StrAppend(&device.name, " (emulator)");
  }
  return device;
}

}  // namespace

absl::StatusOr<std::vector<DeviceInfo>> ScanAsicPlugin(const std::string& path,
                                                       uint32_t num_devices) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("cannot load the ASIC plugin: ", TextOf(dlerror())));
  }
  const absl::Cleanup unload = [library] { dlclose(library); };
  ASSIGN_OR_RETURN(const OneaiAsicApi* api, EntryPoint(library, path));
  OneaiAsicOpenOptions options{};
  options.struct_size = sizeof(options);
  options.num_devices = num_devices;
  OneaiAsicError error{};
  error.struct_size = sizeof(error);
  OneaiAsicSession* session = nullptr;
  if (api->open(&options, &session, &error) != ONEAI_ASIC_OK) {
    return absl::UnavailableError(absl::StrCat(path, ": ", error.message));
  }
  uint32_t count = api->num_devices(session);
  if (num_devices > 0) count = std::min(count, num_devices);
  std::vector<DeviceInfo> devices;
  for (uint32_t i = 0; i < count; ++i) devices.push_back(Describe(*api, session, i));
  if (api->close(session, &error) != ONEAI_ASIC_OK) {
    return absl::UnavailableError(absl::StrCat(path, ": ", error.message));
  }
  return devices;
}

struct AsicHealth::Plugin {
  void* library = nullptr;
  const OneaiAsicApi* api = nullptr;
  OneaiAsicSession* session = nullptr;
  uint32_t num_devices = 0;

  ~Plugin() {
    if (session != nullptr) api->close(session, nullptr);
    if (library != nullptr) dlclose(library);
  }
};

AsicHealth::AsicHealth(std::unique_ptr<Plugin> plugin) : plugin_(std::move(plugin)) {}
AsicHealth::~AsicHealth() = default;

std::unique_ptr<AsicHealth> AsicHealth::Open(const std::string& path, uint32_t num_devices) {
  auto plugin = std::make_unique<Plugin>();
  plugin->library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (plugin->library == nullptr) return nullptr;
  const absl::StatusOr<const OneaiAsicApi*> api = EntryPoint(plugin->library, path);
  if (!api.ok()) return nullptr;
  plugin->api = *api;
  OneaiAsicOpenOptions options{};
  options.struct_size = sizeof(options);
  options.num_devices = num_devices;
  if (plugin->api->open(&options, &plugin->session, nullptr) != ONEAI_ASIC_OK) {
    plugin->session = nullptr;
    return nullptr;
  }
  plugin->num_devices = plugin->api->num_devices(plugin->session);
  if (num_devices > 0) plugin->num_devices = std::min(plugin->num_devices, num_devices);
  return std::unique_ptr<AsicHealth>(new AsicHealth(std::move(plugin)));
}

std::map<std::string, std::string> AsicHealth::Poll() {
  std::map<std::string, std::string> broken;
  for (uint32_t i = 0; i < plugin_->num_devices; ++i) {
    const DeviceInfo device = Describe(*plugin_->api, plugin_->session, i);
    if (!device.healthy) broken[device.id] = device.health_message;
  }
  return broken;
}

}  // namespace oneai::fabric
