#include "controller/leadership.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log/log.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace oneai {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(500);  // beside the watch, should it be slow
constexpr absl::Duration kStopPoll = absl::Milliseconds(50);
constexpr absl::Duration kGuardPoll = absl::Milliseconds(20);

// Goes on while the machine is suspended, unlike CLOCK_MONOTONIC, and never steps.
absl::Duration SinceBoot() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

// Waits until the leader's key is gone, `stop`, or kPoll has passed.
class VacancyWatch {
 public:
  explicit VacancyWatch(Store* store)
      : handle_(store->Watch(kLeaderKey, [this](int64_t, const std::vector<WatchEvent>& events) {
          absl::MutexLock lock(&mu_);
          for (const WatchEvent& event : events)
            vacant_ |= event.item.key == kLeaderKey && event.kind == WatchEvent::Kind::kDelete;
        })) {}

  void Await(absl::FunctionRef<bool()> stop) {
    for (absl::Duration waited; waited < kPoll && !stop(); waited += kStopPoll) {
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&vacant_), kStopPoll)) break;
    }
    absl::MutexLock lock(&mu_);
    vacant_ = false;
  }

 private:
  absl::Mutex mu_;
  bool vacant_ ABSL_GUARDED_BY(mu_) = false;
  const std::unique_ptr<WatchHandle> handle_;  // last made, first gone
};

}  // namespace

std::string EncodeLeader(const Leader& leader) {
  const nlohmann::ordered_json json = {
      {"name", leader.name}, {"grpc", leader.grpc}, {"web", leader.web}};
  return json.dump();
}

absl::StatusOr<Leader> DecodeLeader(absl::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  Leader leader;
  const auto read = [&json](const char* key, std::string& value) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_string()) return false;
    value = json[key].get<std::string>();
    return true;
  };
  if (!read("name", leader.name) || !read("grpc", leader.grpc) || !read("web", leader.web))
    return absl::DataLossError(absl::StrCat("store key ", kLeaderKey, " does not name a leader"));
  return leader;
}

Leadership::Leadership(Store* store, LeadershipOptions options, int64_t lease_id,
                       int64_t fence_revision, absl::Duration serve_until)
    : store_(store),
      options_(std::move(options)),
      lease_id_(lease_id),
      fence_revision_(fence_revision),
      serve_until_ns_(absl::ToInt64Nanoseconds(serve_until)) {}

absl::StatusOr<std::unique_ptr<Leadership>> Leadership::Campaign(
    Store* store, LeadershipOptions options, absl::FunctionRef<bool()> stop,
    absl::FunctionRef<void(const Leader&)> on_standby) {
  VacancyWatch vacancy(store);
  int64_t seen_revision = 0;
  bool was_failing = false;
  while (!stop()) {
    const absl::StatusOr<KeyValue> present = store->Get(kLeaderKey);
    if (present.ok()) {
      if (std::exchange(seen_revision, present->mod_revision) != present->mod_revision) {
        if (const absl::StatusOr<Leader> leader = DecodeLeader(present->value); leader.ok())
          on_standby(*leader);
      }
      vacancy.Await(stop);
      continue;
    }
    absl::Status status = present.status();
    if (absl::IsNotFound(status)) {
      const absl::Duration start = SinceBoot();
      const absl::StatusOr<int64_t> lease = store->GrantLease(options.lease);
      status = lease.status();
      if (lease.ok()) {
        const absl::StatusOr<int64_t> revision = store->Commit(
            Transaction().If(kLeaderKey, 0).Put(kLeaderKey, EncodeLeader(options.self), *lease));
        if (revision.ok()) {
          const absl::Duration until = start + options.lease - options.margin;
          return std::unique_ptr<Leadership>(
              new Leadership(store, std::move(options), *lease, *revision, until));
        }
        status = revision.status();
        store->RevokeLease(*lease).IgnoreError();  // it ends by itself
        if (absl::IsAborted(status)) continue;     // another was first
      }
    }
    if (!was_failing) Log::Warning("cannot stand for leader; trying again", {{"error", status}});
    was_failing = true;
    vacancy.Await(stop);
  }
  return absl::CancelledError("stopped while waiting to lead");
}

Leadership::~Leadership() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (renewer_.joinable()) renewer_.join();
  if (guard_.joinable()) guard_.join();
  store_->RevokeLease(lease_id_).IgnoreError();  // it ends by itself
}

void Leadership::Keep(std::function<void()> on_lost) {
  renewer_ = std::thread([this] { Renew(); });
  guard_ = std::thread([this, on_lost = std::move(on_lost)] { Guard(on_lost); });
}

bool Leadership::StopsWithin(absl::Duration pause) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&stopping_), pause);
}

// Somebody may have taken the key away by hand; the lease alone would not show it.
absl::Status Leadership::CheckKey() const {
  ASSIGN_OR_RETURN(const KeyValue key, store_->Get(kLeaderKey));
  if (key.mod_revision == fence_revision_) return absl::OkStatus();
  return absl::NotFoundError("another controller leads");
}

void Leadership::Renew() {
  do {
    // The lease is counted from before the request: the store counts from when it comes in.
    const absl::Duration start = SinceBoot();
    absl::Status renewed = store_->RenewLease(lease_id_);
    if (renewed.ok()) renewed = CheckKey();
    if (absl::IsNotFound(renewed)) {
      serve_until_ns_ = 0;
      return;
    }
    // A renewal after the end cannot come: the answer would be NotFound.
    if (renewed.ok())
      serve_until_ns_ = absl::ToInt64Nanoseconds(start + options_.lease - options_.margin);
  } while (!StopsWithin(options_.renew_every));
}

void Leadership::Guard(const std::function<void()>& on_lost) {
  do {
    if (!MayServe().ok()) return on_lost();
  } while (!StopsWithin(kGuardPoll));
}

absl::Status Leadership::MayServe() const {
  if (absl::ToInt64Nanoseconds(SinceBoot()) < serve_until_ns_.load()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("controller ", options_.self.name,
                   " leads no more: its lease was not renewed in time; ask another controller"));
}

}  // namespace oneai
