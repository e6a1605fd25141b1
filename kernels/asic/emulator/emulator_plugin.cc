// A Hanguang-class inference device in software: int8 matrix engine, static shapes, its own 16 GiB.
// It computes for real and calls itself an emulator everywhere. This file is the C boundary: it
// checks handles and sizes, takes the lock and lets no exception out.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "kernels/asic/asic_plugin.h"
#include "kernels/asic/emulator/device_memory.h"
#include "kernels/asic/emulator/program.h"

namespace {

using oneai::kernels::asic_emulator::DeviceBytes;
using oneai::kernels::asic_emulator::DeviceMemory;
using oneai::kernels::asic_emulator::Program;
using oneai::kernels::asic_emulator::Result;

constexpr uint64_t kDefaultMemoryBytes = uint64_t{16} << 30;
constexpr uint32_t kNumDevicesMax = 64;

}  // namespace

struct OneaiAsicProgram {
  std::unique_ptr<Program> program;
};

// The library uses no lock annotations: it may depend on nothing but the C++ standard library.
struct OneaiAsicSession {
  std::mutex mu;  // guards everything below; held while a program runs, as one engine would be busy
  std::vector<std::unique_ptr<DeviceMemory>> devices;
  std::map<OneaiAsicBuffer, std::unique_ptr<DeviceBytes>> buffers;
  std::map<const OneaiAsicProgram*, std::unique_ptr<OneaiAsicProgram>> programs;
  OneaiAsicBuffer next_buffer = 1;
};

namespace {

OneaiAsicCode Report(const Result& result, OneaiAsicError* error) {
  if (!result.ok() && error != nullptr &&
      error->struct_size >= offsetof(OneaiAsicError, message) + sizeof(error->message)) {
    std::snprintf(error->message, sizeof(error->message), "%s", result.message.c_str());
  }
  return result.code;
}

// Runs `function` and turns what it throws (only memory can run out) into a code.
template <typename Function>
OneaiAsicCode Guard(OneaiAsicError* error, Function function) {
  try {
    return Report(function(), error);
  } catch (const std::bad_alloc&) {
    return Report({ONEAI_ASIC_RESOURCE_EXHAUSTED, "the host is out of memory"}, error);
  } catch (const std::exception& e) {
    return Report({ONEAI_ASIC_INTERNAL, e.what()}, error);
  }
}

Result NoBuffer(OneaiAsicBuffer buffer) {
  return {ONEAI_ASIC_NOT_FOUND, "there is no buffer " + std::to_string(buffer)};
}

Result CheckDevice(const OneaiAsicSession& session, uint32_t device) {
  if (device < session.devices.size()) return {};
  return {ONEAI_ASIC_NOT_FOUND, "there is no device " + std::to_string(device) + ", only " +
                                    std::to_string(session.devices.size())};
}

OneaiAsicCode Open(const OneaiAsicOpenOptions* options, OneaiAsicSession** session,
                   OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    uint32_t num_devices = 1;
    uint64_t memory_bytes = kDefaultMemoryBytes;
    if (options != nullptr) {
      if (options->struct_size < sizeof(OneaiAsicOpenOptions)) {
        return {ONEAI_ASIC_INVALID_ARGUMENT, "the open options are smaller than version 1's"};
      }
      if (options->num_devices > 0) num_devices = options->num_devices;
      if (options->memory_bytes > 0) memory_bytes = options->memory_bytes;
    }
    if (num_devices > kNumDevicesMax) {
      return {ONEAI_ASIC_INVALID_ARGUMENT,
              "at most " + std::to_string(kNumDevicesMax) + " devices are emulated"};
    }
    auto opened = std::make_unique<OneaiAsicSession>();
    for (uint32_t i = 0; i < num_devices; ++i) {
      opened->devices.push_back(std::make_unique<DeviceMemory>(memory_bytes));
    }
    *session = opened.release();
    return {};
  });
}

OneaiAsicCode Close(OneaiAsicSession* session, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    {
      std::lock_guard lock(session->mu);
      if (!session->buffers.empty() || !session->programs.empty()) {
        return {ONEAI_ASIC_FAILED_PRECONDITION, "buffers or programs are still alive"};
      }
    }
    delete session;
    return {};
  });
}

uint32_t NumDevices(OneaiAsicSession* session) {
  return static_cast<uint32_t>(session->devices.size());
}

// A fault that an operator or a test injects: $ONEAI_ASIC_FAULT_FILE holds lines "<device>
// <words>", and each device named there is broken as long as it stands there.
Result InjectedFault(uint32_t device) {
  const char* path = std::getenv("ONEAI_ASIC_FAULT_FILE");
  if (path == nullptr) return {};
  std::ifstream file(path);
  uint32_t broken = 0;
  for (std::string words; file >> broken && std::getline(file >> std::ws, words);) {
    if (broken == device) return {ONEAI_ASIC_UNAVAILABLE, words};
  }
  return {};
}

OneaiAsicCode DeviceInfo(OneaiAsicSession* session, uint32_t device, OneaiAsicDeviceInfo* info,
                         OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    if (Result result = CheckDevice(*session, device); !result.ok()) return result;
    if (Result fault = InjectedFault(device); !fault.ok()) return fault;
    const OneaiAsicDeviceInfo known{.struct_size = sizeof(OneaiAsicDeviceInfo),
                                    .dtype_mask = (1u << ONEAI_ASIC_INT8) |
                                                  (1u << ONEAI_ASIC_INT32) |
                                                  (1u << ONEAI_ASIC_FLOAT32),
                                    .kind = "hanguang-800",
                                    .name = "oneai emulator of a Hanguang 800 class device",
                                    .memory_bytes = session->devices[device]->limit_bytes(),
                                    .memory_used_bytes = session->devices[device]->used_bytes()};
    // An older caller knows fewer fields: fill those.
    std::memcpy(info, &known, std::min<size_t>(info->struct_size, sizeof(known)));
    return {};
  });
}

OneaiAsicCode Allocate(OneaiAsicSession* session, uint32_t device, uint64_t bytes,
                       OneaiAsicBuffer* buffer, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    if (Result result = CheckDevice(*session, device); !result.ok()) return result;
    DeviceMemory* const memory = session->devices[device].get();
    std::unique_ptr<DeviceBytes> created = DeviceBytes::Create(memory, bytes);
    if (created == nullptr) {
      return {ONEAI_ASIC_RESOURCE_EXHAUSTED,
              std::to_string(bytes) + " bytes do not fit device " + std::to_string(device) + ": " +
                  std::to_string(memory->limit_bytes() - memory->used_bytes()) + " of " +
                  std::to_string(memory->limit_bytes()) + " are free"};
    }
    session->buffers.emplace(session->next_buffer, std::move(created));
    *buffer = session->next_buffer++;
    return {};
  });
}

OneaiAsicCode Release(OneaiAsicSession* session, OneaiAsicBuffer buffer, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    return session->buffers.erase(buffer) == 1 ? Result{} : NoBuffer(buffer);
  });
}

// Finds [offset, offset + bytes) of `buffer`. The caller holds the lock.
Result Locate(OneaiAsicSession* session, OneaiAsicBuffer buffer, uint64_t offset, uint64_t bytes,
              std::byte** data) {
  const auto it = session->buffers.find(buffer);
  if (it == session->buffers.end()) return NoBuffer(buffer);
  if (offset > it->second->size() || bytes > it->second->size() - offset) {
    return {ONEAI_ASIC_INVALID_ARGUMENT,
            "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
                " are not inside a buffer of " + std::to_string(it->second->size())};
  }
  *data = it->second->data() + offset;
  return {};
}

OneaiAsicCode CopyToDevice(OneaiAsicSession* session, OneaiAsicBuffer buffer, uint64_t offset,
                           const void* from, uint64_t bytes, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    std::byte* data = nullptr;
    if (Result result = Locate(session, buffer, offset, bytes, &data); !result.ok()) return result;
    if (bytes > 0) std::memcpy(data, from, bytes);
    return {};
  });
}

OneaiAsicCode CopyFromDevice(OneaiAsicSession* session, OneaiAsicBuffer buffer, uint64_t offset,
                             void* to, uint64_t bytes, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    std::byte* data = nullptr;
    if (Result result = Locate(session, buffer, offset, bytes, &data); !result.ok()) return result;
    if (bytes > 0) std::memcpy(to, data, bytes);
    return {};
  });
}

OneaiAsicCode CompileProgram(OneaiAsicSession* session, uint32_t device,
                             const OneaiAsicProgramSpec* spec, OneaiAsicProgram** program,
                             OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    if (Result result = CheckDevice(*session, device); !result.ok()) return result;
    // Arrays of structs: their elements must have the size this plugin was built with.
    const bool sizes_match =
        spec->struct_size >= sizeof(OneaiAsicProgramSpec) &&
        (spec->num_tensors == 0 || spec->tensors->struct_size == sizeof(OneaiAsicTensor)) &&
        (spec->num_ops == 0 || spec->ops->struct_size == sizeof(OneaiAsicOp));
    if (!sizes_match) {
      return {ONEAI_ASIC_INVALID_ARGUMENT, "the program's structs have sizes unknown to version 1"};
    }
    auto compiled = std::make_unique<OneaiAsicProgram>();
    DeviceMemory* const memory = session->devices[device].get();
    if (Result result = Program::Compile(*spec, memory, &compiled->program); !result.ok()) {
      return result;
    }
    *program = compiled.get();
    session->programs.emplace(compiled.get(), std::move(compiled));
    return {};
  });
}

OneaiAsicCode Discard(OneaiAsicSession* session, OneaiAsicProgram* program, OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    if (session->programs.erase(program) == 1) return {};
    return {ONEAI_ASIC_NOT_FOUND, "there is no such program"};
  });
}

OneaiAsicCode RunProgram(OneaiAsicSession* session, OneaiAsicProgram* program,
                         const OneaiAsicBinding* bindings, uint32_t num_bindings,
                         OneaiAsicError* error) {
  return Guard(error, [&]() -> Result {
    std::lock_guard lock(session->mu);
    if (!session->programs.contains(program)) {
      return {ONEAI_ASIC_NOT_FOUND, "there is no such program"};
    }
    std::vector<DeviceBytes*> buffers(program->program->num_tensors(), nullptr);
    for (uint32_t i = 0; i < num_bindings; ++i) {
      const OneaiAsicBinding& binding = bindings[i];
      if (binding.struct_size != sizeof(OneaiAsicBinding) || binding.tensor >= buffers.size() ||
          buffers[binding.tensor] != nullptr) {
        return {ONEAI_ASIC_INVALID_ARGUMENT,
                "binding " + std::to_string(i) + " names no tensor, or one that is already bound"};
      }
      const auto it = session->buffers.find(binding.buffer);
      if (it == session->buffers.end()) return NoBuffer(binding.buffer);
      buffers[binding.tensor] = it->second.get();
    }
    return program->program->Run(buffers);
  });
}

constexpr OneaiAsicApi kApi = {.struct_size = sizeof(OneaiAsicApi),
                               .abi_version = ONEAI_ASIC_ABI_VERSION,
                               .vendor = "oneai (emulator)",
                               .open = Open,
                               .close = Close,
                               .num_devices = NumDevices,
                               .device_info = DeviceInfo,
                               .allocate = Allocate,
                               .release = Release,
                               .copy_to_device = CopyToDevice,
                               .copy_from_device = CopyFromDevice,
                               .compile = CompileProgram,
                               .discard = Discard,
                               .run = RunProgram};

}  // namespace

extern "C" __attribute__((visibility("default"))) const OneaiAsicApi* OneaiAsicGetApi(void) {
  return &kApi;
}
