#include "compute_fabric/slurm/slurm_nodes.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_spec.h"
#include "compute_fabric/node/protocol_version.h"

namespace oneai::fabric {
namespace {

constexpr int kDevicesMax = 1024;

const std::string& TypeOf(const SlurmGres& gres) {
  return gres.type.empty() ? gres.name : gres.type;
}

}  // namespace

std::map<std::string, SlurmGres> DevicesOf(const SlurmNode& node) {
  std::map<std::string, SlurmGres> devices;
  for (const SlurmGres& gres : node.gres) {
    for (int64_t i = 0; i < gres.count && devices.size() < kDevicesMax; ++i)
      devices[absl::StrCat(TypeOf(gres), "-", i)] = {gres.name, gres.type, 1};
  }
  return devices;
}

absl::StatusOr<std::vector<v1::NodeInfo>> DescribeNodes(const std::vector<SlurmNode>& nodes,
                                                        const PoolOptions& options) {
  std::map<std::string, int> sharers;  // of an address
  for (const SlurmNode& node : nodes) ++sharers[node.address];
  std::map<std::string, int> served;
  std::vector<v1::NodeInfo> infos;
  for (const SlurmNode& node : nodes) {
    v1::NodeInfo info;
    info.set_name(absl::StrCat(options.pool, ".", node.name));
    RETURN_IF_ERROR(ValidateName("Slurm node", info.name()));
    info.set_address(node.address);
    info.set_cpu_milli(node.cpus * 1000);
    info.set_memory_bytes(node.memory_bytes);
    info.set_launcher("slurm");
    info.set_agent_version("0.1.0");
    info.set_protocol_version(kProtocolVersion);
    const int ports = (options.port_last - options.port_first + 1) / sharers[node.address];
    if (ports < 1) {
      return absl::InvalidArgumentError(absl::StrCat("--ports: ", sharers[node.address],
                                                     " nodes share the address ", node.address,
                                                     "; give at least that many ports"));
    }
    info.set_port_first(options.port_first + ports * served[node.address]++);
    info.set_port_last(info.port_first() + ports - 1);
    for (const auto& [name, value] : options.labels) (*info.mutable_labels())[name] = value;
    (*info.mutable_labels())["slurm-node"] = node.name;
    for (const auto& [id, gres] : DevicesOf(node)) {
      v1::Device& device = *info.add_devices();
      device.set_id(id);
      const auto kind = options.kinds.find(TypeOf(gres));
      device.set_kind(kind == options.kinds.end() ? TypeOf(gres) : kind->second);
      device.set_name(absl::StrCat("Slurm gres/", gres.name, ":", gres.type));
      device.set_healthy(true);
    }
    info.add_enforced("what this Slurm cluster's ProctrackType and TaskPlugin enforce");
    info.add_not_enforced("shares of a device: Slurm gives whole ones");
    infos.push_back(std::move(info));
  }
  return infos;
}

std::string OutOfService(const SlurmNode& node) {
  if (node.in_service()) return "";
  return absl::StrCat("Slurm: ", node.state, node.responding ? "" : " and not responding",
                      node.reason.empty() ? "" : ": ", node.reason);
}

}  // namespace oneai::fabric
