// calloc takes large blocks from the kernel as untouched zero pages, so a 16 GiB device costs the
// host only what programs really write.
#include "kernels/asic/emulator/device_memory.h"

#include <cstdlib>

namespace oneai::kernels::asic_emulator {

std::unique_ptr<DeviceBytes> DeviceBytes::Create(DeviceMemory* memory, uint64_t bytes) {
  if (!memory->Reserve(bytes)) return nullptr;
  auto* data = static_cast<std::byte*>(std::calloc(bytes == 0 ? 1 : bytes, 1));
  if (data == nullptr) {
    memory->Return(bytes);
    return nullptr;
  }
  return std::unique_ptr<DeviceBytes>(new DeviceBytes(memory, bytes, data));
}

DeviceBytes::~DeviceBytes() {
  std::free(data_);
  memory_->Return(bytes_);
}

}  // namespace oneai::kernels::asic_emulator
