// Inference accelerators behind plugins, in C++: loading, ownership, errors as absl::Status.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/asic/asic_plugin.h"

namespace oneai::kernels {

struct AsicDeviceInfo {
  std::string kind;  // "hanguang-800"
  std::string name;  // for people; an emulator says so
  uint64_t memory_bytes = 0;
  uint64_t memory_used_bytes = 0;
  bool has_int8 = false;
  bool has_float32 = false;
};

// Emulators only; hardware ignores both. 0 takes the plugin's default.
struct AsicOpenOptions {
  uint32_t num_devices = 0;
  uint64_t memory_bytes = 0;
};

namespace internal {
struct AsicSession;  // the open library; kept alive by whatever was made from it
}

// Device memory; released by the destructor. Movable. Not to be used from two threads at once.
class AsicBuffer {
 public:
  AsicBuffer(AsicBuffer&&) = default;
  AsicBuffer& operator=(AsicBuffer&&) = default;

  // kInvalidArgument: [offset, offset + size) is not inside the buffer.
  absl::Status CopyFrom(absl::Span<const std::byte> from, uint64_t offset = 0);
  absl::Status CopyTo(absl::Span<std::byte> to, uint64_t offset = 0) const;

 private:
  friend class AsicPlugin;
  friend class AsicProgram;
  struct Handle;
  explicit AsicBuffer(std::unique_ptr<Handle> handle);
  struct Delete {
    void operator()(Handle* handle) const;
  };
  std::unique_ptr<Handle, Delete> handle_;
};

// A compiled program; discarded by the destructor. Movable. One Run() at a time.
class AsicProgram {
 public:
  AsicProgram(AsicProgram&&) = default;
  AsicProgram& operator=(AsicProgram&&) = default;

  struct Binding {
    uint32_t tensor;
    const AsicBuffer* buffer;
  };
  // Runs to completion. kInvalidArgument: a bound tensor without a large enough buffer on this
  // device.
  absl::Status Run(absl::Span<const Binding> bindings);

 private:
  friend class AsicPlugin;
  struct Handle;
  explicit AsicProgram(std::unique_ptr<Handle> handle);
  struct Delete {
    void operator()(Handle* handle) const;
  };
  std::unique_ptr<Handle, Delete> handle_;
};

// One loaded plugin. Copyable handle; thread-safe as far as the plugin's contract goes.
class AsicPlugin {
 public:
  // Loads the library at `path` and opens it.
  // kNotFound: no such file. kFailedPrecondition: not a plugin, or of another ABI version (both
  // named). Otherwise what the plugin says.
  static absl::StatusOr<AsicPlugin> Load(const std::string& path, const AsicOpenOptions& options);

  std::string vendor() const;
  absl::StatusOr<std::vector<AsicDeviceInfo>> Devices() const;

  // kResourceExhausted: the device's memory is full.
  absl::StatusOr<AsicBuffer> Allocate(uint32_t device, uint64_t bytes) const;

  // kInvalidArgument: the program is malformed. kUnimplemented: the device cannot run it.
  absl::StatusOr<AsicProgram> Compile(uint32_t device, absl::Span<const OneaiAsicTensor> tensors,
                                      absl::Span<const OneaiAsicOp> ops) const;

 private:
  explicit AsicPlugin(std::shared_ptr<internal::AsicSession> session);
  std::shared_ptr<internal::AsicSession> session_;
};

}  // namespace oneai::kernels
