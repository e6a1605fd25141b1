// File: base/store/watch_hub.h
//
// Delivers the changes of each commit to the watchers of a prefix, in revision order, on one
// thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/store/store.h"

namespace oneai {

// Thread-safe. At most `num_queued_max` commits wait; Publish blocks beyond. WatchHandles may
// outlive the hub.
class WatchHub {
 public:
  using Callback = std::function<void(int64_t revision, const std::vector<WatchEvent>&)>;

  explicit WatchHub(int64_t revision, size_t num_queued_max = 16384);
  ~WatchHub();  // delivers what is queued, then joins

  // The revision published last.
  int64_t revision() const;

  // Calls must come in ascending revision. Makes `revision` the current one and queues its events.
  void Publish(int64_t revision, std::vector<WatchEvent> events);

  std::unique_ptr<WatchHandle> Watch(std::string prefix, Callback on_events);

 private:
  struct Watcher;
  struct Shared;
  class Handle;
  void Run();

  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace oneai
