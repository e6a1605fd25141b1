// File: serving/engine/adapter_table.h
//
// Which LoRA adapters there are and how many requests use each.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace oneai::serving {

// Thread-safe.
class AdapterTable {
 public:
  void Add(int32_t adapter);
  // Counts a request and returns the adapter's edition: numbers are used again, editions never.
  // kNotFound: not loaded, or being unloaded.
  absl::StatusOr<int64_t> Enter(int32_t adapter);
  void Leave(int32_t adapter);
  // Refuses new requests for it. kNotFound: not loaded, or being unloaded.
  absl::Status Close(int32_t adapter);
  // Returns once nobody uses it.
  void AwaitUnused(int32_t adapter);
  void Remove(int32_t adapter);

 private:
  struct Entry {
    int64_t edition = 0;
    int64_t num_requests = 0;
    bool closed = false;
  };
  absl::Status NotLoaded(int32_t adapter) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<int32_t, Entry> entries_ ABSL_GUARDED_BY(mu_);
  int64_t num_editions_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace oneai::serving
