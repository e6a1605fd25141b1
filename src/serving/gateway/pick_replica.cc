// File: serving/gateway/pick_replica.cc
#include "serving/gateway/pick_replica.h"

namespace oneai::serving {

std::optional<size_t> PickReplica(const std::vector<ReplicaView>& replicas, uint64_t cursor,
                                  const std::set<std::string>& tried, absl::Time now) {
  std::optional<size_t> suspect;
  for (size_t i = 0; i < replicas.size(); ++i) {
    const size_t index = (cursor + i) % replicas.size();
    const ReplicaView& replica = replicas[index];
    if (!replica.ready || tried.contains(replica.address)) continue;
    if (replica.suspect_until <= now) return index;
    if (!suspect.has_value()) suspect = index;
  }
  return suspect;
}

}  // namespace oneai::serving
