// The memory of one emulated device: an account with a limit, backed by host memory page by page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace oneai::kernels::asic_emulator {

class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // Counts `bytes` in. False: they do not fit; nothing changed.
  bool Reserve(uint64_t bytes) {
    if (bytes > limit_bytes_ - used_bytes_) return false;
    used_bytes_ += bytes;
    return true;
  }
  void Return(uint64_t bytes) { used_bytes_ -= bytes; }

  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t used_bytes() const { return used_bytes_; }

 private:
  const uint64_t limit_bytes_;
  uint64_t used_bytes_ = 0;
};

// Bytes of a device, zeroed; returned to its account by the destructor.
class DeviceBytes {
 public:
  // Null: the account refuses or the host has no memory.
  static std::unique_ptr<DeviceBytes> Create(DeviceMemory* memory, uint64_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  std::byte* data() const { return data_; }
  uint64_t size() const { return bytes_; }
  const DeviceMemory* memory() const { return memory_; }

 private:
  DeviceBytes(DeviceMemory* memory, uint64_t bytes, std::byte* data)
      : memory_(memory), bytes_(bytes), data_(data) {}

  DeviceMemory* const memory_;
  const uint64_t bytes_;
  std::byte* const data_;
};

}  // namespace oneai::kernels::asic_emulator
