/* NVML for tests: two GPUs, the second of which cannot be read. */
#include <stdio.h>

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
