// File: controller/leadership.h
//
// One leader among several controllers on one store, by a lease.
//
//   standby: watch the leader's key -> gone -> grant a lease -> put the key under it, if absent
//   leader:  renew -> renew -> ... | not renewed in time -> stop serving, before the lease ends
//
// The key's revision is the leader's fence: with it in every commit (base/store/fenced_store.h)
// nothing that a former leader still tries is written. Source: the election of etcd's concurrency
// package, with the margin of a lock service (Chubby, OSDI'06, section 2.8: the client's view of
// its lease ends before the server's).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/store/store.h"

namespace oneai {

inline constexpr char kLeaderKey[] = "meta/leader";

// Who leads and where it serves; JSON under kLeaderKey.
struct Leader {
  std::string name;
  std::string grpc;  // host:port
  std::string web;   // https://host:port
};
std::string EncodeLeader(const Leader& leader);
absl::StatusOr<Leader> DecodeLeader(absl::string_view json);  // DataLoss

struct LeadershipOptions {
  Leader self;
  // A dead leader is replaced so long after its last renewal. etcd takes whole seconds and no less
  // than 1.5 elections of its own.
  absl::Duration lease = absl::Seconds(2);
  // The leader stops so long before its lease ends: covers the difference between clocks' speeds
  // and the time that an answer is under way.
  absl::Duration margin = absl::Milliseconds(400);
  absl::Duration renew_every = absl::Milliseconds(400);
};

// Thread-safe. `store` must outlive it.
class Leadership {
 public:
  // Waits until this process leads, or `stop` says so (Cancelled). Trouble with the store is logged
  // and waited out. `on_standby` is called with each leader that is seen.
  static absl::StatusOr<std::unique_ptr<Leadership>> Campaign(
      Store* store, LeadershipOptions options, absl::FunctionRef<bool()> stop,
      absl::FunctionRef<void(const Leader&)> on_standby);
  // Gives the lease back, so that another can lead at once.
  ~Leadership();

  // Renews from now on. `on_lost` is called once, on a thread of its own, when the lease could not
  // be renewed in time: the process must stop serving at once.
  void Keep(std::function<void()> on_lost);

  // Unavailable when the lease may have ended, also if on_lost has not run yet: after a sleep of
  // the whole process any thread may be the first to run.
  absl::Status MayServe() const;

  // Of kLeaderKey: the fence for every commit.
  int64_t fence_revision() const { return fence_revision_; }

 private:
  Leadership(Store* store, LeadershipOptions options, int64_t lease_id, int64_t fence_revision,
             absl::Duration serve_until);
  absl::Status CheckKey() const;  // NotFound: the key is not ours any more
  void Renew();
  void Guard(const std::function<void()>& on_lost);
  bool StopsWithin(absl::Duration pause);

  Store* const store_;
  const LeadershipOptions options_;
  const int64_t lease_id_;
  const int64_t fence_revision_;
  std::atomic<int64_t> serve_until_ns_;  // on the clock of since boot
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread renewer_;
  std::thread guard_;
};

}  // namespace oneai
