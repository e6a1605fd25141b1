#include "compute_fabric/scheduler/cluster/node_order.h"

#include <string>

namespace oneai::fabric {

// FNV-1a with splitmix64's finish, which spreads its weak high bits.
uint64_t SteadyHash(absl::string_view text, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ (seed * 0x9e3779b97f4a7c15ULL);
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

int64_t NodeOrder::Assign(const NodeSpec& node) {
  constexpr int kNodeBits = 31;
  constexpr int kRackBits = 20;
  constexpr int kZoneBits = 12;
  const auto label_hash = [&](const char* name, int bits) -> int64_t {
    const auto label = node.labels.find(name);
    if (label == node.labels.end()) return 0;
    return static_cast<int64_t>(SteadyHash(label->second, seed_) >> (64 - bits));
  };
  int64_t rank = label_hash("zone", kZoneBits) << (kNodeBits + kRackBits);
  rank |= label_hash("rack", kRackBits) << kNodeBits;
  rank |= static_cast<int64_t>(SteadyHash(node.name, seed_) >> (64 - kNodeBits));
  while (!taken_.insert(rank).second) ++rank;
  return rank;
}

}  // namespace oneai::fabric
