#include "base/store/etcd_watch.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "base/store/etcd_members.h"

namespace oneai {
namespace {

namespace pb = etcdserverpb;

constexpr absl::Duration kSilenceMax = absl::Seconds(4);

WatchEvent ToWatchEvent(const pb::Event& event, size_t key_prefix_bytes) {
  const pb::KeyValue& kv = event.kv();
  WatchEvent converted;
  converted.item.key = kv.key().substr(key_prefix_bytes);
  converted.item.mod_revision = kv.mod_revision();
  if (event.type() == pb::Event::DELETE) {
    converted.kind = WatchEvent::Kind::kDelete;
  } else {
    converted.item.value = kv.value();
    converted.item.create_revision = kv.create_revision();
  }
  return converted;
}

}  // namespace

struct EtcdWatch::Stream {
  explicit Stream(EtcdMember* member_in) : member(member_in) {
    PrepareEtcdContext(context, absl::InfiniteDuration());
    stream = member->watch->Watch(&context);
  }
  bool Write(const pb::WatchRequest& request) {
    absl::MutexLock lock(&write_mu);
    return stream->Write(request);
  }

  EtcdMember* const member;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<pb::WatchRequest, pb::WatchResponse>> stream;
  std::atomic<int64_t> heard_ns{absl::GetCurrentTimeNanos()};
  absl::Mutex write_mu;
};

EtcdWatch::EtcdWatch(EtcdClient* client, std::string key_prefix, std::string prefix,
                     int64_t revision, Reader read_keys, Reader read_all, Callback on_events)
    : client_(client),
      key_prefix_(std::move(key_prefix)),
      prefix_(std::move(prefix)),
      read_keys_(std::move(read_keys)),
      read_all_(std::move(read_all)),
      on_events_(std::move(on_events)),
      next_revision_(revision + 1) {
  absl::MutexLock lock(&mu_);  // until the thread's id is known
  thread_ = std::thread([this] { Run(); });
  thread_id_ = thread_.get_id();
}

EtcdWatch::~EtcdWatch() {
  Stop();
  Join();
}

void EtcdWatch::Stop() {
  stopping_ = true;
  bool is_own = false;
  {
    absl::MutexLock lock(&mu_);
    is_own = std::this_thread::get_id() == thread_id_;
    if (stream_ != nullptr) stream_->context.TryCancel();
  }
  if (!is_own) done_.WaitForNotification();
}

void EtcdWatch::Join() {
  if (thread_.joinable()) thread_.join();
}

void EtcdWatch::CheckAlive() {
  std::shared_ptr<Stream> stream;
  {
    absl::MutexLock lock(&mu_);
    stream = stream_;
  }
  if (stream == nullptr) return;
  const absl::Duration silence =
      absl::Nanoseconds(absl::GetCurrentTimeNanos() - stream->heard_ns.load());
  if (silence > kSilenceMax) return stream->context.TryCancel();
  pb::WatchRequest progress;
  progress.mutable_progress_request();
  stream->Write(progress);
}

void EtcdWatch::Run() {
  {
    absl::MutexLock lock(&mu_);  // the constructor has written thread_id_
  }
  if (const absl::StatusOr<RangeResult> known = read_keys_(prefix_); known.ok()) {
    for (const KeyValue& item : known->items) keys_.insert(item.key);
  }
  for (int attempt = 0; !is_stopping(); ++attempt) {
    const int64_t before = next_revision_;
    if (!must_resync_) RunStream();
    if (must_resync_ && !is_stopping()) must_resync_ = !Resync().ok();
    if (next_revision_ != before) attempt = 0;
    for (absl::Duration left = EtcdBackoff(attempt); left > absl::ZeroDuration() && !is_stopping();
         left -= absl::Milliseconds(20)) {
      absl::SleepFor(std::min(left, absl::Milliseconds(20)));
    }
  }
  done_.Notify();
}

void EtcdWatch::RunStream() {
  const auto stream = std::make_shared<Stream>(&client_->members().Current());
  {
    absl::MutexLock lock(&mu_);
    if (is_stopping()) return;
    stream_ = stream;
  }
  pb::WatchRequest request;
  pb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(key_prefix_ + prefix_);
  create.set_range_end(PrefixEnd(key_prefix_ + prefix_));
  create.set_start_revision(next_revision_);
  pb::WatchResponse response;
  bool refused = false;
  if (stream->Write(request)) {
    while (!refused && !is_stopping() && stream->stream->Read(&response)) {
      stream->heard_ns = absl::GetCurrentTimeNanos();
      if (response.canceled()) {
        must_resync_ = response.compact_revision() > 0;
        refused = true;
      } else {
        Deliver(response);
        // A callback may take its time; the member is not to blame.
        stream->heard_ns = absl::GetCurrentTimeNanos();
      }
    }
  }
  {
    absl::MutexLock lock(&mu_);
    stream_ = nullptr;
  }
  stream->context.TryCancel();
  {
    absl::MutexLock lock(&stream->write_mu);
    stream->stream->Finish();
  }
  if (!is_stopping() && !must_resync_) client_->members().Avoid(*stream->member);
}

// A response holds whole revisions, in order.
void EtcdWatch::Deliver(const pb::WatchResponse& response) {
  std::vector<WatchEvent> events;
  for (int i = 0; i < response.events_size(); ++i) {
    WatchEvent event = ToWatchEvent(response.events(i), key_prefix_.size());
    const int64_t revision = event.item.mod_revision;
    if (revision < next_revision_) continue;  // delivered before the stream was opened again
    events.push_back(std::move(event));
    const bool is_last =
        i + 1 == response.events_size() || response.events(i + 1).kv().mod_revision() != revision;
    if (!is_last) continue;
    if (!Call(revision, events)) return;
    events.clear();
    next_revision_ = revision + 1;
  }
}

// The newest state of every key that changed since, in order of revision; then what is gone.
absl::Status EtcdWatch::Resync() {
  ASSIGN_OR_RETURN(const RangeResult now, read_all_(prefix_));
  std::map<int64_t, std::vector<WatchEvent>> changes;
  std::set<std::string> gone = keys_;
  for (const KeyValue& item : now.items) {
    gone.erase(item.key);
    if (item.mod_revision >= next_revision_)
      changes[item.mod_revision].push_back({WatchEvent::Kind::kPut, item});
  }
  for (const std::string& key : gone)
    changes[now.revision].push_back({WatchEvent::Kind::kDelete, {key, "", 0, now.revision}});
  for (const auto& [revision, events] : changes) {
    if (!Call(revision, events)) return absl::CancelledError("stopped");
  }
  next_revision_ = std::max(next_revision_, now.revision + 1);
  return absl::OkStatus();
}

bool EtcdWatch::Call(int64_t revision, const std::vector<WatchEvent>& events) {
  for (const WatchEvent& event : events) {
    if (event.kind == WatchEvent::Kind::kPut) {
      keys_.insert(event.item.key);
    } else {
      keys_.erase(event.item.key);
    }
  }
  if (is_stopping()) return false;
  on_events_(revision, events);
  return true;
}

}  // namespace oneai
