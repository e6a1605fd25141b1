// File: serving/gateway/pick_replica.h
//
// Which replica answers next: a pure function of what the gateway knows.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace oneai::serving {

struct ReplicaView {
  std::string address;
  bool ready = false;
  // Not before then after a failed connection; InfinitePast: healthy as far as is known.
  absl::Time suspect_until = absl::InfinitePast();
};

// Round robin: the first eligible replica at or after `cursor` (modulo the number of replicas).
// Eligible is ready and not in `tried`; among these a suspect one is taken only when nothing else
// is left, for a suspicion may be out of date. nullopt: none is eligible.
std::optional<size_t> PickReplica(const std::vector<ReplicaView>& replicas, uint64_t cursor,
                                  const std::set<std::string>& tried, absl::Time now);

}  // namespace oneai::serving
