// File: compute_fabric/controller/versioned_table.h
//
// The messages under one prefix of the store, in memory, each with the revision of its last write.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "base/store/store.h"

namespace oneai::fabric {

template <typename Message>
struct Record {
  std::shared_ptr<const Message> value;  // null: no such key
  int64_t revision = 0;                  // 0: no such key
};

// Thread-safe. Records are immutable; a reader keeps the one it has.
template <typename Message>
class VersionedTable {
 public:
  explicit VersionedTable(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string KeyOf(const std::string& id) const { return prefix_ + id; }

  // DataLoss: a value is not a Message.
  absl::Status Load(const Store& store) {
    ASSIGN_OR_RETURN(RangeResult range, store.List(prefix_));
    for (const KeyValue& item : range.items) RETURN_IF_ERROR(Take(item));
    return absl::OkStatus();
  }

  // Reads one key again, after a commit was refused because the memory was behind.
  absl::Status Refresh(const Store& store, const std::string& id) {
    absl::StatusOr<KeyValue> item = store.Get(KeyOf(id));
    if (absl::IsNotFound(item.status())) {
      absl::MutexLock lock(&mu_);
      records_.erase(id);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(item.status());
    return Take(*item);
  }

  Record<Message> Find(const std::string& id) const {
    absl::MutexLock lock(&mu_);
    const auto it = records_.find(id);
    return it == records_.end() ? Record<Message>{} : it->second;
  }

  // By key.
  std::vector<Record<Message>> All() const {
    absl::MutexLock lock(&mu_);
    std::vector<Record<Message>> all;
    all.reserve(records_.size());
    for (const auto& [id, record] : records_) all.push_back(record);
    return all;
  }

  // Rises with every change.
  int64_t version() const {
    absl::MutexLock lock(&mu_);
    return version_;
  }
  int64_t size() const {
    absl::MutexLock lock(&mu_);
    return static_cast<int64_t>(records_.size());
  }

  // Takes a committed value; an older one than is here is dropped, because commits are installed in
  // any order.
  void Install(const std::string& id, std::shared_ptr<const Message> value, int64_t revision) {
    absl::MutexLock lock(&mu_);
    Record<Message>& record = records_[id];
    if (revision <= record.revision) return;
    record = {std::move(value), revision};
    ++version_;
  }

  void Erase(const std::string& id) {
    absl::MutexLock lock(&mu_);
    version_ += static_cast<int64_t>(records_.erase(id));
  }

 private:
  absl::Status Take(const KeyValue& item) {
    auto value = std::make_shared<Message>();
    if (!value->ParseFromString(item.value)) {
      return absl::DataLossError(
          absl::StrCat("store key ", item.key, " does not hold a ", value->GetTypeName()));
    }
    if constexpr (requires { value->set_revision(item.mod_revision); })
      value->set_revision(item.mod_revision);
    Install(item.key.substr(prefix_.size()), std::move(value), item.mod_revision);
    return absl::OkStatus();
  }

  const std::string prefix_;
  mutable absl::Mutex mu_;
  std::map<std::string, Record<Message>> records_ ABSL_GUARDED_BY(mu_);
  int64_t version_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace oneai::fabric
