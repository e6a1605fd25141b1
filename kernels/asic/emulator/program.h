// A checked program of one emulated device: static shapes, temporaries allocated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/asic/asic_plugin.h"
#include "kernels/asic/emulator/device_memory.h"

namespace oneai::kernels::asic_emulator {

// A code and the sentence that goes with it.
struct Result {
  OneaiAsicCode code = ONEAI_ASIC_OK;
  std::string message;
  bool ok() const { return code == ONEAI_ASIC_OK; }
};

class Program {
 public:
  // Checks dtypes, shapes and order (every input is bound or written before) and reserves
  // temporaries.
  static Result Compile(const OneaiAsicProgramSpec& spec, DeviceMemory* memory,
                        std::unique_ptr<Program>* program);

  const DeviceMemory* memory() const { return memory_; }

  // `buffers[i]` is tensor i's binding or null. INVALID_ARGUMENT: missing, too small, another
  // device's.
  Result Run(const std::vector<DeviceBytes*>& buffers);

  size_t num_tensors() const { return tensors_.size(); }

 private:
  explicit Program(DeviceMemory* memory) : memory_(memory) {}

  Result CheckTensors() const;
  Result CheckOps() const;
  Result CheckOp(const OneaiAsicOp& op) const;
  void RunOp(const OneaiAsicOp& op, const std::vector<std::byte*>& data) const;

  DeviceMemory* const memory_;
  std::vector<OneaiAsicTensor> tensors_;
  std::vector<OneaiAsicOp> ops_;
  std::vector<std::unique_ptr<DeviceBytes>> temporaries_;  // null for bound tensors
};

}  // namespace oneai::kernels::asic_emulator
