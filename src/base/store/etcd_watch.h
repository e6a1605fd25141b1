// File: base/store/etcd_watch.h
//
// One subscription to a prefix: a stream to some member, opened again at another where it broke
// off, and a full reading where etcd's history no longer reaches back.
//
//   open at `next revision` -> events by revision -> broken: again | compacted: read all, compare
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/store/etcd_client.h"
#include "base/store/store.h"

namespace oneai {

// Thread-safe. One thread, which runs the callback.
class EtcdWatch {
 public:
  using Callback = std::function<void(int64_t revision, const std::vector<WatchEvent>&)>;
  // Reads all keys under a prefix of the store, or their names only.
  using Reader = std::function<absl::StatusOr<RangeResult>(const std::string& prefix)>;

  // Delivers changes of keys that begin with `key_prefix` + `prefix`, named without `key_prefix`,
  // after `revision`. `client` must outlive Join().
  EtcdWatch(EtcdClient* client, std::string key_prefix, std::string prefix, int64_t revision,
            Reader read_keys, Reader read_all, Callback on_events);
  ~EtcdWatch();

  // No callback begins any more, and unless called from one, none runs when it returns.
  void Stop();
  void Join();  // after Stop(), not from the callback
  bool is_done() const { return done_.HasBeenNotified(); }

  // Called every second or so: asks the member for a sign of life, and gives up one that has been
  // silent for long.
  void CheckAlive();

 private:
  struct Stream;
  void Run();
  void RunStream();
  void Deliver(const etcdserverpb::WatchResponse& response);
  absl::Status Resync();
  bool Call(int64_t revision, const std::vector<WatchEvent>& events);
  bool is_stopping() const { return stopping_.load(); }

  EtcdClient* const client_;
  const std::string key_prefix_;
  const std::string prefix_;
  const Reader read_keys_;
  const Reader read_all_;
  const Callback on_events_;

  std::atomic<bool> stopping_{false};
  absl::Notification done_;

  // The thread's own.
  int64_t next_revision_;
  std::set<std::string> keys_;  // that exist, so that a resync can tell which were deleted
  bool must_resync_ = false;

  absl::Mutex mu_;
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
  std::thread::id thread_id_;
};

}  // namespace oneai
