// File: base/store/etcd_options.h
//
// How to reach an etcd cluster, and which part of its key space is ours.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/auth/pki.h"

namespace oneai {

struct EtcdOptions {
  std::vector<std::string> endpoints;  // host:port of every member; any one alive will do
  // Whose keys these are: several fabrics may share a cluster. Letters, digits, '-', '_', '/'.
  std::string prefix = "oneai";
  // Mutual TLS. None: plain text, for a loopback of one user only.
  std::optional<TlsCredentials> tls;

  // One try at one member; a member that is paused or cut off costs this much once.
  absl::Duration attempt_timeout = absl::Seconds(2);
  // All tries together. Longer than an election of etcd's, shorter than a person's patience.
  absl::Duration call_timeout = absl::Seconds(10);
  // History is kept for one to two such times, then compacted; a watch that lags further resyncs.
  // Zero: somebody else compacts (etcd --auto-compaction-retention).
  absl::Duration compact_every = absl::Minutes(5);
};

}  // namespace oneai
