#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

Amounts AmountsOf(const TaskShape& shape, const DeviceAlternative* device) {
  Amounts amounts;
  if (shape.cpu_milli != 0) amounts[kCpu] = shape.cpu_milli;
  if (shape.memory_bytes != 0) amounts[kMemory] = shape.memory_bytes;
  if (device != nullptr && device->total_milli() != 0) {
    amounts[device->kind] = device->total_milli();
  }
  return amounts;
}

void Add(Amounts& sum, const Amounts& amounts, int64_t times) {
  for (const auto& [name, amount] : amounts) {
    int64_t& total = sum[name];
    total += amount * times;
  }
}

}  // namespace oneai::fabric
