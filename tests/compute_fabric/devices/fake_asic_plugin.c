/* A plugin for tests: as many devices as asked for, the third one broken, 99 of them not to be had.
 */
#include <string.h>

#include "kernels/asic/asic_plugin.h"

struct OneaiAsicSession {
  uint32_t num_devices;
};
static struct OneaiAsicSession g_session;

static OneaiAsicCode Open(const OneaiAsicOpenOptions* options, OneaiAsicSession** session,
                          OneaiAsicError* error) {
  if (options->num_devices == 99) {
    strcpy(error->message, "no driver");
    return ONEAI_ASIC_UNAVAILABLE;
  }
  g_session.num_devices = options->num_devices;
  *session = &g_session;
  return ONEAI_ASIC_OK;
}
static OneaiAsicCode Close(OneaiAsicSession* session, OneaiAsicError* error) {
  (void)session;
  (void)error;
  return ONEAI_ASIC_OK;
}
static uint32_t NumDevices(OneaiAsicSession* session) { return session->num_devices; }
static OneaiAsicCode DeviceInfo(OneaiAsicSession* session, uint32_t device,
                                OneaiAsicDeviceInfo* info, OneaiAsicError* error) {
  (void)session;
  if (device == 2) {
    strcpy(error->message, "overheated");
    return ONEAI_ASIC_UNAVAILABLE;
  }
  info->kind = "test-800";
  info->name = "Test 800";
  info->memory_bytes = 1 << 20;
  return ONEAI_ASIC_OK;
}

static const OneaiAsicApi kApi = {.struct_size = sizeof(OneaiAsicApi),
                                  .abi_version = ONEAI_ASIC_ABI_VERSION,
                                  .vendor = "test emulator",
                                  .open = Open,
                                  .close = Close,
                                  .num_devices = NumDevices,
                                  .device_info = DeviceInfo};

const OneaiAsicApi* OneaiAsicGetApi(void) { return &kApi; }
