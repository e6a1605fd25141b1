/* NVML for tests: two GPUs, the second of which cannot be read. The first has an Xid event when
 * $ONEAI_TEST_XID names one, once. */
#include <stdio.h>
#include <stdlib.h>

struct Memory {
  unsigned long long total, free, used;
};

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  *device = "gpu";
  return index == 0 ? 0 : 15; /* NVML_ERROR_GPU_IS_LOST */
}
int nvmlDeviceGetName(void* device, char* name, unsigned int length) {
  (void)device;
  snprintf(name, length, "NVIDIA H100 80GB HBM3");
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, struct Memory* memory) {
  (void)device;
  memory->total = 81559ull << 20;
  return 0;
}
int nvmlDeviceGetUUID(void* device, char* uuid, unsigned int length) {
  (void)device;
  snprintf(uuid, length, "GPU-1234");
  return 0;
}
int nvmlDeviceGetMinorNumber(void* device, unsigned int* minor) {
  (void)device;
  *minor = 3;
  return 0;
}

struct Event {
  void* device;
  unsigned long long type, data;
  unsigned int gpu_instance, compute_instance;
};
static const char* g_gpu;

int nvmlDeviceGetTotalEccErrors(void* device, int type, int counter, unsigned long long* errors) {
  (void)device;
  (void)type;
  (void)counter;
  *errors = 0;
  return 0;
}
int nvmlEventSetCreate(void** set) {
  *set = "set";
  return 0;
}
int nvmlEventSetFree(void* set) {
  (void)set;
  return 0;
}
int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void* set) {
  (void)set;
  g_gpu = device;
  return types & 0x2 ? 3 : 0; /* no ECC: NVML_ERROR_NOT_SUPPORTED */
}
int nvmlEventSetWait_v2(void* set, struct Event* event, unsigned int timeout_ms) {
  (void)set;
  (void)timeout_ms;
  const char* xid = getenv("ONEAI_TEST_XID");
  if (xid == NULL) return 10; /* NVML_ERROR_TIMEOUT */
  event->device = (void*)g_gpu;
  event->type = 0x8;
  event->data = strtoull(xid, NULL, 10);
  unsetenv("ONEAI_TEST_XID");
  return 0;
}
