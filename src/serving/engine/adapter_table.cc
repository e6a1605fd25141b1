#include "serving/engine/adapter_table.h"

#include "absl/strings/str_cat.h"

namespace oneai::serving {

absl::Status AdapterTable::NotLoaded(int32_t adapter) const {
  return absl::NotFoundError(
      absl::StrCat("LoRA adapter ", adapter, " is not loaded; ", entries_.size(), " are"));
}

void AdapterTable::Add(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  entries_[adapter] = {num_editions_++, 0, false};
}

absl::StatusOr<int64_t> AdapterTable::Enter(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(adapter);
  if (it == entries_.end() || it->second.closed) return NotLoaded(adapter);
  ++it->second.num_requests;
  return it->second.edition;
}

void AdapterTable::Leave(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  --entries_.at(adapter).num_requests;
}

absl::Status AdapterTable::Close(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(adapter);
  if (it == entries_.end() || it->second.closed) return NotLoaded(adapter);
  it->second.closed = true;
  return absl::OkStatus();
}

void AdapterTable::AwaitUnused(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  const auto unused = [this, adapter]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return entries_.at(adapter).num_requests == 0;
  };
  mu_.Await(absl::Condition(&unused));
}

void AdapterTable::Remove(int32_t adapter) {
  absl::MutexLock lock(&mu_);
  entries_.erase(adapter);
}

}  // namespace oneai::serving
