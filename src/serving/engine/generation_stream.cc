#include "serving/engine/generation_stream.h"

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

GenerationStream::GenerationStream(std::shared_ptr<EngineBell> bell, int64_t pending_tokens_max)
    : bell_(std::move(bell)), pending_tokens_max_(pending_tokens_max) {}

bool GenerationStream::FullLocked() const {
  return pending_.has_value() &&
         static_cast<int64_t>(pending_->token_ids.size()) >= pending_tokens_max_;
}

std::optional<GenerationEvent> GenerationStream::TakeLocked(bool& was_full) {
  was_full = FullLocked();
  return std::exchange(pending_, std::nullopt);
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
        +[](std::optional<GenerationEvent>* pending) { return pending->has_value(); }, &pending_));
    event = TakeLocked(was_full);
  }
  if (was_full) bell_->Ring();
  return *std::move(event);
}

void GenerationStream::OnReady(std::function<void()> callback) {
  std::function<void()> call;
  {
    absl::MutexLock lock(&mu_);
    if (pending_.has_value()) call = callback;
    if (!pending_.has_value() || !pending_->last()) on_ready_ = std::move(callback);
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
    if (!pending_.has_value()) {
      pending_ = std::move(event);
    } else {
      GenerationEvent& merged = *pending_;
      merged.text += event.text;
      merged.token_ids.insert(merged.token_ids.end(), event.token_ids.begin(),
                              event.token_ids.end());
      merged.finish_reason = event.finish_reason;
      merged.ends_request = event.ends_request;
      merged.stop_string = std::move(event.stop_string);
      merged.usage = event.usage;
      merged.status = std::move(event.status);
    }
  }
  if (call) call();
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
