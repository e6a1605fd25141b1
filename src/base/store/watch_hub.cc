#include "base/store/watch_hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace oneai {

struct WatchHub::Watcher {
  std::string prefix;
  int64_t after_revision;
  Callback on_events;
};

struct WatchHub::Shared {
  struct Batch {
    int64_t revision;
    std::vector<WatchEvent> events;
  };
  explicit Shared(int64_t start, size_t queued_max) : num_queued_max(queued_max), revision(start) {}

  const size_t num_queued_max;
  absl::Mutex mu;
  int64_t revision ABSL_GUARDED_BY(mu);
  std::deque<Batch> queue ABSL_GUARDED_BY(mu);
  std::vector<std::shared_ptr<Watcher>> watchers ABSL_GUARDED_BY(mu);
  // Whose callback runs now; a handle's destructor waits until it is not its own.
  const Watcher* running ABSL_GUARDED_BY(mu) = nullptr;
  std::thread::id dispatcher ABSL_GUARDED_BY(mu);
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

class WatchHub::Handle final : public WatchHandle {
 public:
  Handle(std::shared_ptr<Shared> shared, std::shared_ptr<Watcher> watcher)
      : shared_(std::move(shared)), watcher_(std::move(watcher)) {}

  ~Handle() override {
    absl::MutexLock lock(&shared_->mu);
    std::erase(shared_->watchers, watcher_);
    // A callback that ends its own subscription must not wait for itself.
    if (std::this_thread::get_id() == shared_->dispatcher) return;
    const auto not_running = [this]() ABSL_SHARED_LOCKS_REQUIRED(shared_->mu) {
      return shared_->running != watcher_.get();
    };
    shared_->mu.Await(absl::Condition(&not_running));
  }

 private:
  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<Watcher> watcher_;
};

WatchHub::WatchHub(int64_t revision, size_t num_queued_max)
    : shared_(std::make_shared<Shared>(revision, num_queued_max)), thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  {
    absl::MutexLock lock(&shared_->mu);
    shared_->stopping = true;
  }
  thread_.join();
}

int64_t WatchHub::revision() const {
  absl::MutexLock lock(&shared_->mu);
  return shared_->revision;
}

void WatchHub::Publish(int64_t revision, std::vector<WatchEvent> events) {
  Shared& s = *shared_;
  const auto has_room = [&s]() ABSL_SHARED_LOCKS_REQUIRED(s.mu) {
    return s.queue.size() < s.num_queued_max;
  };
  absl::MutexLock lock(&s.mu, absl::Condition(&has_room));
  s.revision = revision;
  if (!s.watchers.empty()) s.queue.push_back({revision, std::move(events)});
}

std::unique_ptr<WatchHandle> WatchHub::Watch(std::string prefix, Callback on_events) {
  absl::MutexLock lock(&shared_->mu);
  auto watcher = std::make_shared<Watcher>(
      Watcher{std::move(prefix), shared_->revision, std::move(on_events)});
  shared_->watchers.push_back(watcher);
  return std::make_unique<Handle>(shared_, std::move(watcher));
}

void WatchHub::Run() {
  Shared& s = *shared_;
  const auto has_work = [&s]() ABSL_SHARED_LOCKS_REQUIRED(s.mu) {
    return s.stopping || !s.queue.empty();
  };
  absl::MutexLock lock(&s.mu);
  s.dispatcher = std::this_thread::get_id();
  while (true) {
    s.mu.Await(absl::Condition(&has_work));
    if (s.queue.empty()) return;
    const Shared::Batch batch = std::move(s.queue.front());
    s.queue.pop_front();
    const std::vector<std::shared_ptr<Watcher>> watchers = s.watchers;
    for (const std::shared_ptr<Watcher>& watcher : watchers) {
      if (watcher->after_revision >= batch.revision) continue;
      if (std::find(s.watchers.begin(), s.watchers.end(), watcher) == s.watchers.end()) continue;
      s.running = watcher.get();
      s.mu.Unlock();
      std::vector<WatchEvent> matching;
      for (const WatchEvent& event : batch.events) {
        if (absl::StartsWith(event.item.key, watcher->prefix)) matching.push_back(event);
      }
      if (!matching.empty()) watcher->on_events(batch.revision, matching);
      s.mu.Lock();
      s.running = nullptr;
    }
  }
}

}  // namespace oneai
