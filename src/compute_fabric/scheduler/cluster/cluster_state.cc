#include "compute_fabric/scheduler/cluster/cluster_state.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/cluster/change_feed.h"
#include "compute_fabric/scheduler/cluster/node_fit.h"
#include "compute_fabric/scheduler/cluster/node_order.h"

namespace oneai::fabric {
namespace {

// Held of a device that the node does not have at present.
struct AbsentDevice {
  std::string id;
  int64_t milli = 0;
  int64_t memory_bytes = 0;
};

// Unique in the process: see ClusterState::specs_version.
uint64_t NextSpecsVersion() {
  static std::atomic<uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

struct Slot {
  NodeState state;
  bool present = false;
  std::vector<AbsentDevice> absent;
};

// One change, to be undone by its opposite.
struct Change {
  enum class What : uint8_t { kHost, kDevice, kAbsentDevice, kPort, kTask };
  NodeIndex node = kNoNode;
  What what = What::kHost;
  int32_t index = 0;   // of the device, or the port, or the class of the task
  int64_t first = 0;   // CPU milli, device milli, +1 or -1
  int64_t second = 0;  // memory bytes
};

int32_t NumPorts(const NodeSpec& spec) { return std::max(0, spec.port_last - spec.port_first + 1); }

const std::string* FindLabel(const NodeSpec& spec, const char* name) {
  const auto label = spec.labels.find(name);
  return label == spec.labels.end() || label->second.empty() ? nullptr : &label->second;
}

int32_t TaskClassOf(const DeviceAlternative* device) {
  return device == nullptr ? -1 : DeviceClassOf(*device);
}

}  // namespace

struct ClusterState::Impl {
  std::vector<Slot> slots;
  std::vector<NodeIndex> vacant;
  int64_t num_nodes = 0;
  absl::flat_hash_map<std::string, NodeIndex> by_name;
  absl::flat_hash_map<std::string, int32_t> kinds;
  std::vector<std::string> kind_names;
  absl::flat_hash_map<std::string, int32_t> domains;
  Amounts capacity;
  Amounts free;
  // Into `free`: sums change with every task, and its map is slow to search.
  int64_t* cpu_free = nullptr;
  int64_t* memory_free = nullptr;
  std::vector<int64_t*> kind_free;
  NodeOrder order;
  uint64_t order_version = 1;
  uint64_t specs_version = NextSpecsVersion();
  ChangeFeed feed;
  std::vector<Change> undo;

  Impl() { BindSums(); }
  Impl(const Impl& other) { *this = other; }
  Impl& operator=(const Impl& other);

  void BindSums();
  int32_t InternKind(const std::string& kind);
  int32_t InternDomain(const std::string& name);
  void AddToSums(const Slot& slot, int64_t times);
  void SetDomains(NodeState& state);
  void SetDevices(Slot& slot, const NodeSpec& old_spec, const std::vector<DeviceState>& old);

  // Applies a change; the callers below log it too.
  void Apply(const Change& change);
  void Do(const Change& change) {
    undo.push_back(change);
    Apply(change);
  }
  void HoldDevice(NodeIndex node, const DeviceGrant& grant, int64_t sign);
};

ClusterState::Impl& ClusterState::Impl::operator=(const Impl& other) {
  slots = other.slots;
  vacant = other.vacant;
  num_nodes = other.num_nodes;
  by_name = other.by_name;
  kinds = other.kinds;
  kind_names = other.kind_names;
  domains = other.domains;
  capacity = other.capacity;
  free = other.free;
  order = other.order;
  order_version = other.order_version;
  specs_version = other.specs_version;
  feed = other.feed;
  undo = other.undo;
  BindSums();
  return *this;
}

void ClusterState::Impl::BindSums() {
  cpu_free = &free[kCpu];
  memory_free = &free[kMemory];
  kind_free.clear();
  for (const std::string& kind : kind_names) kind_free.push_back(&free[kind]);
}

int32_t ClusterState::Impl::InternKind(const std::string& kind) {
  const auto [it, added] = kinds.try_emplace(kind, static_cast<int32_t>(kind_names.size()));
  if (added) {
    kind_names.push_back(kind);
    kind_free.push_back(&free[kind]);
  }
  return it->second;
}

int32_t ClusterState::Impl::InternDomain(const std::string& name) {
  return domains.try_emplace(name, static_cast<int32_t>(domains.size())).first->second;
}

void ClusterState::Impl::AddToSums(const Slot& slot, int64_t times) {
  const NodeState& state = slot.state;
  if (!state.schedulable()) return;
  capacity[kCpu] += times * state.spec.cpu_milli;
  capacity[kMemory] += times * state.spec.memory_bytes;
  *cpu_free += times * state.cpu_milli_free;
  *memory_free += times * state.memory_bytes_free;
  for (const DeviceState& device : state.devices) {
    if (!device.healthy) continue;
    capacity[kind_names[device.kind]] += times * kWholeDevice;
    *kind_free[device.kind] += times * device.milli_free;
  }
}

void ClusterState::Impl::SetDomains(NodeState& state) {
  const NodeSpec& spec = state.spec;
  const std::string* fabric_domain = FindLabel(spec, "nvlink-domain");
  for (size_t i = 0; i < spec.devices.size(); ++i) {
    std::string name = spec.devices[i].nvlink_domain;
    if (name.empty() && fabric_domain != nullptr) name = *fabric_domain;
    const bool across_hosts = fabric_domain != nullptr && name == *fabric_domain;
    state.devices[i].domain = InternDomain(across_hosts ? absl::StrCat("nvlink:", name)
                                                        : absl::StrCat(spec.name, "/", name));
  }
  const std::string* zone = FindLabel(spec, "zone");
  const std::string* rack = FindLabel(spec, "rack");
  const int32_t host = InternDomain(absl::StrCat("host:", spec.name));
  state.domain.assign(4, host);
  state.domain[static_cast<int>(TopologyLevel::kNvlink)] = -1;
  if (!state.devices.empty() &&
      std::all_of(state.devices.begin(), state.devices.end(), [&](const DeviceState& device) {
        return device.domain == state.devices[0].domain;
      })) {
    state.domain[static_cast<int>(TopologyLevel::kNvlink)] = state.devices[0].domain;
  }
  if (rack != nullptr) {
    state.domain[static_cast<int>(TopologyLevel::kRack)] =
        InternDomain(absl::StrCat("rack:", zone == nullptr ? "" : *zone, "/", *rack));
  }
  if (zone != nullptr) {
    state.domain[static_cast<int>(TopologyLevel::kZone)] =
        InternDomain(absl::StrCat("zone:", *zone));
  }
}

// Lays out the devices of the new spec and takes again what is held of them.
void ClusterState::Impl::SetDevices(Slot& slot, const NodeSpec& old_spec,
                                    const std::vector<DeviceState>& old) {
  std::vector<AbsentDevice> held = std::move(slot.absent);
  slot.absent.clear();
  for (size_t i = 0; i < old.size(); ++i) {
    const int64_t milli = kWholeDevice - old[i].milli_free;
    const int64_t memory_bytes = old_spec.devices[i].memory_bytes - old[i].memory_free;
    if (milli != 0 || memory_bytes != 0) {
      held.push_back({old_spec.devices[i].id, milli, memory_bytes});
    }
  }
  std::vector<DeviceState>& devices = slot.state.devices;
  devices.clear();
  for (const DeviceSpec& spec : slot.state.spec.devices) {
    DeviceState device;
    device.kind = InternKind(spec.kind);
    device.memory_free = spec.memory_bytes;
    device.healthy = spec.healthy;
    devices.push_back(device);
  }
  for (AbsentDevice& hold : held) {
    if (hold.milli == 0 && hold.memory_bytes == 0) continue;
    const auto& specs = slot.state.spec.devices;
    const auto spec = std::find_if(specs.begin(), specs.end(),
                                   [&](const DeviceSpec& s) { return s.id == hold.id; });
    if (spec == specs.end()) {
      slot.absent.push_back(std::move(hold));
      continue;
    }
    DeviceState& device = devices[static_cast<size_t>(spec - specs.begin())];
    device.milli_free -= static_cast<int32_t>(hold.milli);
    device.memory_free -= hold.memory_bytes;
  }
}

void ClusterState::Impl::Apply(const Change& change) {
  Slot& slot = slots[change.node];
  NodeState& state = slot.state;
  const bool counts = state.schedulable();
  switch (change.what) {
    case Change::What::kHost:
      state.cpu_milli_free += change.first;
      state.memory_bytes_free += change.second;
      if (counts) {
        *cpu_free += change.first;
        *memory_free += change.second;
      }
      break;
    case Change::What::kDevice: {
      DeviceState& device = state.devices[change.index];
      device.milli_free += static_cast<int32_t>(change.first);
      device.memory_free += change.second;
      if (counts && device.healthy) *kind_free[device.kind] += change.first;
      break;
    }
    case Change::What::kAbsentDevice:
      slot.absent[change.index].milli -= change.first;
      slot.absent[change.index].memory_bytes -= change.second;
      break;
    case Change::What::kPort: {
      auto& ports = state.ports_used;
      const auto at = std::lower_bound(ports.begin(), ports.end(), change.index);
      if (change.first < 0) {
        ports.insert(at, change.index);
      } else {
        ports.erase(at);
      }
      state.num_ports_free += static_cast<int32_t>(change.first);
      break;
    }
    case Change::What::kTask:
      state.num_tasks -= static_cast<int32_t>(change.first);
      if (change.index >= 0) {
        state.num_tasks_by_class[change.index] -= static_cast<int32_t>(change.first);
      }
      break;
  }
}

void ClusterState::Impl::HoldDevice(NodeIndex node, const DeviceGrant& grant, int64_t sign) {
  Slot& slot = slots[node];
  const auto& specs = slot.state.spec.devices;
  const auto spec = std::find_if(specs.begin(), specs.end(),
                                 [&](const DeviceSpec& s) { return s.id == grant.id; });
  Change change{.node = node, .first = sign * grant.milli, .second = sign * grant.memory_bytes};
  if (spec != specs.end()) {
    change.what = Change::What::kDevice;
    change.index = static_cast<int32_t>(spec - specs.begin());
    Do(change);
    return;
  }
  auto absent = std::find_if(slot.absent.begin(), slot.absent.end(),
                             [&](const AbsentDevice& a) { return a.id == grant.id; });
  if (absent == slot.absent.end()) absent = slot.absent.insert(absent, AbsentDevice{grant.id});
  change.what = Change::What::kAbsentDevice;
  change.index = static_cast<int32_t>(absent - slot.absent.begin());
  Do(change);
}

ClusterState::ClusterState() : impl_(std::make_unique<Impl>()) {}
ClusterState::~ClusterState() = default;
ClusterState::ClusterState(const ClusterState& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}
ClusterState& ClusterState::operator=(const ClusterState& other) {
  *impl_ = *other.impl_;
  return *this;
}

NodeIndex ClusterState::SetNode(const NodeSpec& spec) {
  NodeIndex index = Find(spec.name);
  if (index != kNoNode && impl_->slots[index].state.spec == spec) return index;
  Keep();
  const bool is_new = index == kNoNode;
  if (is_new) {
    if (impl_->vacant.empty()) {
      index = static_cast<NodeIndex>(impl_->slots.size());
      impl_->slots.emplace_back();
    } else {
      index = impl_->vacant.back();
      impl_->vacant.pop_back();
      impl_->slots[index] = Slot();
    }
    impl_->by_name.emplace(spec.name, index);
    ++impl_->num_nodes;
  }
  Slot& slot = impl_->slots[index];
  NodeState& state = slot.state;
  if (!is_new) impl_->AddToSums(slot, -1);
  const NodeSpec old = std::exchange(state.spec, spec);
  state.spec_version = impl_->specs_version = NextSpecsVersion();
  slot.present = true;
  state.cpu_milli_free += spec.cpu_milli - old.cpu_milli;
  state.memory_bytes_free += spec.memory_bytes - old.memory_bytes;
  state.num_ports_free = NumPorts(spec) - static_cast<int32_t>(state.ports_used.size());
  impl_->SetDevices(slot, old, std::vector<DeviceState>(state.devices));
  const std::vector<int32_t> old_domain = std::move(state.domain);
  impl_->SetDomains(state);
  impl_->AddToSums(slot, 1);
  if (is_new || old.labels != spec.labels) {
    if (!is_new) impl_->order.Free(state.rank);
    state.rank = impl_->order.Assign(spec);
  }
  if (is_new || old.labels != spec.labels || old_domain != state.domain) ++impl_->order_version;
  impl_->feed.Append(index);
  return index;
}

void ClusterState::RemoveNode(absl::string_view name) {
  const NodeIndex index = Find(name);
  if (index == kNoNode) return;
  Keep();
  Slot& slot = impl_->slots[index];
  impl_->AddToSums(slot, -1);
  impl_->order.Free(slot.state.rank);
  impl_->by_name.erase(slot.state.spec.name);
  slot = Slot();
  impl_->specs_version = NextSpecsVersion();
  impl_->vacant.push_back(index);
  --impl_->num_nodes;
  ++impl_->order_version;
  impl_->feed.Append(index);
}

NodeIndex ClusterState::Find(absl::string_view name) const {
  const auto it = impl_->by_name.find(name);
  return it == impl_->by_name.end() ? kNoNode : it->second;
}

NodeIndex ClusterState::num_indexes() const { return static_cast<NodeIndex>(impl_->slots.size()); }
bool ClusterState::IsNode(NodeIndex node) const { return impl_->slots[node].present; }
const NodeState& ClusterState::node(NodeIndex node) const { return impl_->slots[node].state; }
int64_t ClusterState::num_nodes() const { return impl_->num_nodes; }
const Amounts& ClusterState::capacity() const { return impl_->capacity; }
const Amounts& ClusterState::free() const { return impl_->free; }

int32_t ClusterState::KindOf(absl::string_view kind) const {
  const auto it = impl_->kinds.find(kind);
  return it == impl_->kinds.end() ? -1 : it->second;
}
const std::string& ClusterState::KindName(int32_t kind) const { return impl_->kind_names[kind]; }

bool ClusterState::Fits(NodeIndex node, const TaskShape& shape, const DeviceAlternative* device,
                        int32_t nvlink_domain) const {
  return NumFit(node, shape, device, 1, nvlink_domain) > 0;
}

int64_t ClusterState::NumFit(NodeIndex node, const TaskShape& shape,
                             const DeviceAlternative* device, int64_t limit,
                             int32_t nvlink_domain) const {
  const Slot& slot = impl_->slots[node];
  if (!slot.present || !slot.state.schedulable()) return 0;
  if (!MatchesSelector(slot.state.spec, shape.node_selector)) return 0;
  const int32_t kind = device == nullptr ? -1 : KindOf(device->kind);
  return NumFitOnNode(slot.state, shape, device, kind, limit, nvlink_domain);
}

int64_t ClusterState::NumFitEmpty(NodeIndex node, const TaskShape& shape,
                                  const DeviceAlternative* device) const {
  return impl_->slots[node].present ? NumFitOnEmptyNode(impl_->slots[node].state, shape, device)
                                    : 0;
}

TaskPlacement ClusterState::Take(NodeIndex node, const TaskShape& shape,
                                 const DeviceAlternative* device, int rank, uint64_t port_seed,
                                 DeviceChoice choice) {
  const NodeState& state = impl_->slots[node].state;
  TaskPlacement placement;
  placement.rank = rank;
  placement.node = state.spec.name;
  placement.address = state.spec.address;
  impl_->Do({node, Change::What::kHost, 0, -shape.cpu_milli, -shape.memory_bytes});
  if (device != nullptr) {
    placement.device = *device;
    for (const int32_t i : ChooseDevices(state, *device, KindOf(device->kind), choice)) {
      const DeviceSpec& spec = state.spec.devices[i];
      const int64_t memory_bytes =
          device->milli >= kWholeDevice ? spec.memory_bytes : DeviceMemoryOf(spec, *device);
      placement.grants.push_back({spec.id, device->milli, memory_bytes});
      impl_->Do({node, Change::What::kDevice, i, -int64_t{device->milli}, -memory_bytes});
    }
  }
  // Beginning at a place that depends on the attempt: a port that was just closed may still be in
  // TIME_WAIT.
  const int32_t range = NumPorts(state.spec);
  for (int32_t i = 0; i < range && static_cast<int>(placement.ports.size()) < shape.num_ports;
       ++i) {
    const int port = state.spec.port_first +
                     static_cast<int>((port_seed % static_cast<uint64_t>(range) + i) % range);
    if (std::binary_search(state.ports_used.begin(), state.ports_used.end(), port)) continue;
    placement.ports.push_back(port);
    impl_->Do({node, Change::What::kPort, port, -1, 0});
  }
  impl_->Do({node, Change::What::kTask, TaskClassOf(device), -1, 0});
  impl_->feed.Append(node);
  return placement;
}

void ClusterState::TakeExactly(const TaskShape& shape, const TaskPlacement& placement) {
  const NodeIndex node = Find(placement.node);
  if (node == kNoNode) return;
  impl_->Do({node, Change::What::kHost, 0, -shape.cpu_milli, -shape.memory_bytes});
  for (const DeviceGrant& grant : placement.grants) impl_->HoldDevice(node, grant, -1);
  for (const int port : placement.ports) impl_->Do({node, Change::What::kPort, port, -1, 0});
  const DeviceAlternative* device = placement.device ? &*placement.device : nullptr;
  impl_->Do({node, Change::What::kTask, TaskClassOf(device), -1, 0});
  impl_->feed.Append(node);
}

void ClusterState::Release(const TaskShape& shape, const TaskPlacement& placement) {
  const NodeIndex node = Find(placement.node);
  if (node == kNoNode) return;
  impl_->Do({node, Change::What::kHost, 0, shape.cpu_milli, shape.memory_bytes});
  for (const DeviceGrant& grant : placement.grants) impl_->HoldDevice(node, grant, 1);
  for (const int port : placement.ports) {
    const std::vector<int32_t>& used = impl_->slots[node].state.ports_used;
    if (std::binary_search(used.begin(), used.end(), port)) {
      impl_->Do({node, Change::What::kPort, port, 1, 0});
    }
  }
  const DeviceAlternative* device = placement.device ? &*placement.device : nullptr;
  impl_->Do({node, Change::What::kTask, TaskClassOf(device), 1, 0});
  impl_->feed.Append(node);
}

void ClusterState::SetOrderSeed(uint64_t seed) {
  if (seed == impl_->order.seed()) return;
  impl_->order = NodeOrder(seed);
  ++impl_->order_version;
  for (Slot& slot : impl_->slots) {
    if (slot.present) slot.state.rank = impl_->order.Assign(slot.state.spec);
  }
}
uint64_t ClusterState::specs_version() const { return impl_->specs_version; }
uint64_t ClusterState::order_version() const { return impl_->order_version; }

ClusterState::Mark ClusterState::mark() const { return impl_->undo.size(); }

void ClusterState::RollbackTo(Mark mark) {
  while (impl_->undo.size() > mark) {
    Change change = impl_->undo.back();
    impl_->undo.pop_back();
    change.first = -change.first;
    change.second = -change.second;
    impl_->Apply(change);
    impl_->feed.Append(change.node);
  }
}

void ClusterState::Keep() {
  impl_->undo.clear();
  impl_->feed.Compact(impl_->slots.size());
}

uint64_t ClusterState::version() const { return impl_->feed.version(); }
absl::Span<const NodeIndex> ClusterState::ChangedSince(uint64_t version) const {
  return impl_->feed.Since(version);
}

}  // namespace oneai::fabric
