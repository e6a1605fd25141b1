#include "compute_fabric/scheduler/node_vacancy.h"

#include <algorithm>
#include <limits>

namespace oneai::fabric {
namespace {
constexpr int32_t kUnusable = std::numeric_limits<int32_t>::min();
}  // namespace

NodeVacancy::NodeVacancy(const NodeState& node, const VacancyShape& shape)
    : cpu_milli_(node.cpu_milli_free),
      memory_bytes_(node.memory_bytes_free),
      num_ports_(node.num_ports_free) {
  if (shape.device == nullptr) return;
  for (const DeviceState& device : node.devices) {
    const bool usable = device.healthy && device.kind == shape.kind &&
                        (shape.nvlink_domain == kAnyDomain || device.domain == shape.nvlink_domain);
    milli_.push_back(usable ? device.milli_free : kUnusable);
  }
}

void NodeVacancy::Apply(const VictimPiece& piece, int sign) {
  cpu_milli_ += sign * piece.cpu_milli;
  memory_bytes_ += sign * piece.memory_bytes;
  num_ports_ += sign * piece.num_ports;
  for (const auto& [device, milli] : piece.devices) {
    if (device >= static_cast<int32_t>(milli_.size()) || milli_[device] == kUnusable) continue;
    milli_[device] += sign * milli;
  }
}

void NodeVacancy::Add(const VictimPiece& piece) { Apply(piece, 1); }
void NodeVacancy::Remove(const VictimPiece& piece) { Apply(piece, -1); }

int64_t NodeVacancy::NumFit(const VacancyShape& wanted) const {
  const TaskShape& shape = *wanted.shape;
  int64_t fit = wanted.per_node_max;
  if (shape.cpu_milli > 0) fit = std::min(fit, cpu_milli_ / shape.cpu_milli);
  if (shape.memory_bytes > 0) fit = std::min(fit, memory_bytes_ / shape.memory_bytes);
  if (shape.num_ports > 0) fit = std::min(fit, num_ports_ / shape.num_ports);
  if (wanted.device != nullptr) {
    const DeviceAlternative& device = *wanted.device;
    int64_t by_device = 0;
    for (const int32_t milli : milli_) {
      if (milli == kUnusable) continue;
      by_device += device.milli < kWholeDevice ? std::max(0, milli / device.milli)
                                               : (milli >= kWholeDevice ? 1 : 0);
    }
    if (device.milli >= kWholeDevice && device.count > 0) by_device /= device.count;
    fit = std::min(fit, by_device);
  }
  return std::max<int64_t>(0, fit);
}

bool NodeVacancy::IsUseful(const VictimPiece& piece, const VacancyShape& wanted) const {
  const TaskShape& shape = *wanted.shape;
  if (shape.cpu_milli > 0 && piece.cpu_milli > 0 && cpu_milli_ < shape.cpu_milli) return true;
  if (shape.memory_bytes > 0 && piece.memory_bytes > 0 && memory_bytes_ < shape.memory_bytes) {
    return true;
  }
  if (shape.num_ports > 0 && piece.num_ports > 0 && num_ports_ < shape.num_ports) return true;
  if (wanted.device == nullptr) return piece.cpu_milli > 0 || piece.memory_bytes > 0;
  return std::any_of(piece.devices.begin(), piece.devices.end(), [&](const auto& device) {
    return device.first < static_cast<int32_t>(milli_.size()) && milli_[device.first] != kUnusable;
  });
}

}  // namespace oneai::fabric
