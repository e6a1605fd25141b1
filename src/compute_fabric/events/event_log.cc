#include "compute_fabric/events/event_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "compute_fabric/jobs/job_steps.h"

namespace oneai::fabric {
namespace {

constexpr size_t kMessageBytesMax = 2048;

std::string EventKey(int64_t sequence) { return absl::StrFormat("events/%020d", sequence); }

bool BySequence(const v1::Event& a, const v1::Event& b) { return a.sequence() < b.sequence(); }

}  // namespace

absl::Status EventLog::Load(const Store& store) {
  ASSIGN_OR_RETURN(RangeResult range, store.List("events/"));
  absl::MutexLock lock(&mu_);
  for (const KeyValue& item : range.items) {
    v1::Event event;
    if (!event.ParseFromString(item.value)) {
      return absl::DataLossError(absl::StrCat("store key ", item.key, " does not hold an event"));
    }
    events_.push_back(std::move(event));
  }
  if (!events_.empty()) next_sequence_ = events_.back().sequence() + 1;
  return absl::OkStatus();
}

std::vector<v1::Event> EventLog::Add(const EventDrafts& drafts, absl::Time now,
                                     Transaction& transaction) {
  std::vector<v1::Event> events;
  absl::MutexLock lock(&mu_);
  for (const EventDraft& draft : drafts) {
    v1::Event event;
    event.set_sequence(next_sequence_++);
    SetTime(event.mutable_time(), now);
    event.set_kind(draft.kind);
    event.set_subject(draft.subject);
    event.set_message(draft.message.substr(0, kMessageBytesMax));
    event.set_severity(draft.severity);
    transaction.Put(EventKey(event.sequence()), event.SerializeAsString());
    if (event.sequence() > events_max_)
      transaction.Delete(EventKey(event.sequence() - events_max_));
    events.push_back(std::move(event));
  }
  return events;
}

void EventLog::Install(const std::vector<v1::Event>& events) {
  absl::MutexLock lock(&mu_);
  for (const v1::Event& event : events) {
    // Commits of different jobs finish in any order.
    events_.insert(std::upper_bound(events_.begin(), events_.end(), event, BySequence), event);
  }
  while (static_cast<int64_t>(events_.size()) > events_max_) events_.pop_front();
}

std::vector<v1::Event> EventLog::List(absl::string_view subject, int64_t after_sequence,
                                      int64_t limit) const {
  std::vector<v1::Event> found;
  absl::MutexLock lock(&mu_);
  const auto wanted = [&](const v1::Event& event) {
    return subject.empty() || event.subject() == subject;
  };
  if (after_sequence <= 0) {
    for (auto it = events_.rbegin();
         it != events_.rend() && static_cast<int64_t>(found.size()) < limit; ++it) {
      if (wanted(*it)) found.push_back(*it);
    }
    std::reverse(found.begin(), found.end());
    return found;
  }
  v1::Event after;
  after.set_sequence(after_sequence);
  for (auto it = std::upper_bound(events_.begin(), events_.end(), after, BySequence);
       it != events_.end() && static_cast<int64_t>(found.size()) < limit; ++it) {
    if (wanted(*it)) found.push_back(*it);
  }
  return found;
}

int64_t EventLog::last_sequence() const {
  absl::MutexLock lock(&mu_);
  return next_sequence_ - 1;
}

}  // namespace oneai::fabric
