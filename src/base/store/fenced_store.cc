#include "base/store/fenced_store.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai {
namespace {

class FencedStore final : public Store {
 public:
  FencedStore(Store* store, std::string fence, int64_t revision, std::function<void()> on_unknown)
      : store_(store),
        fence_(std::move(fence)),
        fence_revision_(revision),
        on_unknown_(std::move(on_unknown)) {}

  absl::StatusOr<KeyValue> Get(absl::string_view key) const override { return store_->Get(key); }
  absl::StatusOr<RangeResult> List(absl::string_view prefix, int64_t limit) const override {
    return store_->List(prefix, limit);
  }
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view last, int64_t limit,
                                    bool reverse) const override {
    return store_->Range(first, last, limit, reverse);
  }

  absl::StatusOr<int64_t> Commit(const Transaction& transaction) override {
    Transaction fenced = transaction;
    fenced.If(fence_, fence_revision_);
    absl::StatusOr<int64_t> revision = store_->Commit(fenced);
    if (absl::IsUnavailable(revision.status())) on_unknown_();
    if (!absl::IsAborted(revision.status())) return revision;
    // Which compare failed decides whether trying again makes sense.
    const absl::StatusOr<KeyValue> fence = store_->Get(fence_);
    const bool fallen =
        fence.ok() ? fence->mod_revision != fence_revision_ : absl::IsNotFound(fence.status());
    if (!fallen) return revision;
    return absl::FailedPreconditionError(
        absl::StrCat("another process has taken over this store (", fence_,
                     " has changed); this one may not write any more"));
  }

  int64_t revision() const override { return store_->revision(); }
  std::unique_ptr<WatchHandle> Watch(
      std::string prefix,
      std::function<void(int64_t, const std::vector<WatchEvent>&)> on_events) override {
    return store_->Watch(std::move(prefix), std::move(on_events));
  }
  absl::StatusOr<int64_t> GrantLease(absl::Duration ttl) override {
    return store_->GrantLease(ttl);
  }
  absl::Status RenewLease(int64_t lease_id) override { return store_->RenewLease(lease_id); }
  absl::Status RevokeLease(int64_t lease_id) override { return store_->RevokeLease(lease_id); }

 private:
  Store* const store_;
  const std::string fence_;
  const int64_t fence_revision_;
  const std::function<void()> on_unknown_;
};

}  // namespace

std::unique_ptr<Store> NewFencedStore(Store* store, std::string fence, int64_t revision,
                                      std::function<void()> on_unknown) {
  return std::make_unique<FencedStore>(store, std::move(fence), revision, std::move(on_unknown));
}

}  // namespace oneai
