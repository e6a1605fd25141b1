#include "serving/engine/generation_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace oneai::serving {

void EngineBell::Ring() {
  absl::MutexLock lock(&mu_);
  rung_ = true;
}

void EngineBell::WaitFor(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(&rung_), timeout);
  rung_ = false;
}

namespace {

template <typename T>
void Append(std::vector<T>& to, std::vector<T> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

void AppendEvent(GenerationEvent& event, GenerationEvent next) {
  event.text += next.text;
  Append(event.token_ids, std::move(next.token_ids));
  Append(event.logprobs, std::move(next.logprobs));
  Append(event.prompt_logprobs, std::move(next.prompt_logprobs));
  Append(event.values, std::move(next.values));
  event.finish_reason = next.finish_reason;
  event.ends_request = next.ends_request;
  event.stop_string = std::move(next.stop_string);
  event.usage = next.usage;
  event.status = std::move(next.status);
}

GenerationStream::GenerationStream(std::shared_ptr<EngineBell> bell, int64_t pending_tokens_max)
    : bell_(std::move(bell)), pending_tokens_max_(pending_tokens_max) {}

bool GenerationStream::FullLocked() const { return num_pending_tokens_ >= pending_tokens_max_; }

std::optional<GenerationEvent> GenerationStream::TakeLocked(bool& was_full) {
  was_full = FullLocked();
  if (pending_.empty()) return std::nullopt;
  GenerationEvent event = std::move(pending_.front());
  pending_.erase(pending_.begin());
  num_pending_tokens_ -= static_cast<int64_t>(event.token_ids.size());
  was_full &= !FullLocked();
  return event;
}

std::optional<GenerationEvent> GenerationStream::Take() {
  bool was_full = false;
  std::optional<GenerationEvent> event;
  {
    absl::MutexLock lock(&mu_);
    event = TakeLocked(was_full);
  }
  if (was_full) bell_->Ring();  // the engine may go on
  return event;
}

GenerationEvent GenerationStream::Wait() {
  bool was_full = false;
  std::optional<GenerationEvent> event;
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](std::vector<GenerationEvent>* pending) { return !pending->empty(); }, &pending_));
    event = TakeLocked(was_full);
  }
  if (was_full) bell_->Ring();
  return *std::move(event);
}

void GenerationStream::OnReady(std::function<void()> callback) {
  std::function<void()> call;
  {
    absl::MutexLock lock(&mu_);
    if (!pending_.empty()) call = callback;
    if (!ended_) on_ready_ = std::move(callback);
  }
  if (call) call();
}

void GenerationStream::Cancel() {
  {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
  }
  bell_->Ring();
}

void GenerationStream::Push(GenerationEvent event) {
  std::function<void()> call;
  {
    absl::MutexLock lock(&mu_);
    // The callback may own the reader, which owns this stream: the last event breaks the cycle.
    call = event.last() ? std::exchange(on_ready_, nullptr) : on_ready_;
    ended_ = event.last();
    MergeLocked(std::move(event));
  }
  if (call) call();
}

void GenerationStream::MergeLocked(GenerationEvent event) {
  num_pending_tokens_ += static_cast<int64_t>(event.token_ids.size());
  const auto same = std::find_if(pending_.begin(), pending_.end(), [&](const GenerationEvent& e) {
    return e.choice == event.choice;
  });
  if (same == pending_.end()) {
    pending_.push_back(std::move(event));
    return;
  }
  const bool ends_request = event.ends_request;
  AppendEvent(*same, std::move(event));
  if (ends_request) std::rotate(same, same + 1, pending_.end());  // the others come before it
}

bool GenerationStream::cancelled() const {
  absl::MutexLock lock(&mu_);
  return cancelled_;
}

bool GenerationStream::full() const {
  absl::MutexLock lock(&mu_);
  return FullLocked();
}

}  // namespace oneai::serving
