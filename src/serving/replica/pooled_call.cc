#include "serving/replica/pooled_call.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/grpc/status.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// Lifetime as in answer_reactors.cc: gRPC holds a raw pointer until OnDone, for which `self_`
// stands; the engine holds shared ones until the last events.
class PooledReactor final : public grpc::ServerUnaryReactor {
 public:
  static PooledReactor* New(Engine* engine, std::vector<GenerationRequest> requests,
                            PooledAnswer answer) {
    auto reactor = std::shared_ptr<PooledReactor>(
        new PooledReactor(engine, std::move(requests), std::move(answer)));
    reactor->self_ = reactor;
    PooledReactor* const raw = reactor.get();
    for (int64_t i = 0; i < kPooledInFlight; ++i) SubmitNext(reactor);
    return raw;
  }

  void OnCancel() override { End(absl::CancelledError("the caller has gone")); }
  void OnDone() override { self_.reset(); }

 private:
  PooledReactor(Engine* engine, std::vector<GenerationRequest> requests, PooledAnswer answer)
      : engine_(engine), requests_(std::move(requests)), answer_(std::move(answer)) {
    values_.resize(requests_.size());
    streams_.resize(requests_.size());
  }

  // Outside the lock: an answer may come, and call back, before Submit or OnReady has returned.
  static void SubmitNext(const std::shared_ptr<PooledReactor>& reactor) {
    size_t index = 0;
    GenerationRequest request;
    {
      absl::MutexLock lock(&reactor->mu_);
      if (reactor->ended_ || reactor->num_submitted_ == reactor->requests_.size()) return;
      index = reactor->num_submitted_++;
      request = std::move(reactor->requests_[index]);
    }
    absl::StatusOr<std::shared_ptr<GenerationStream>> stream =
        reactor->engine_->Submit(std::move(request));
    if (!stream.ok()) return reactor->End(AboutInput(index, stream.status()));
    {
      absl::MutexLock lock(&reactor->mu_);
      reactor->streams_[index] = *stream;
      if (reactor->ended_) (*stream)->Cancel();
    }
    (*stream)->OnReady([reactor, index, stream = stream->get()] {
      if (reactor->Collect(index, *stream)) SubmitNext(reactor);
    });
  }

  // Takes what there is; returns true when the input's answer is complete and others may follow.
  bool Collect(size_t index, GenerationStream& stream) {
    absl::Status failure;
    bool all_answered = false;
    {
      absl::MutexLock lock(&mu_);
      const std::optional<GenerationEvent> event = stream.Take();
      if (!event.has_value()) return false;
      values_[index].insert(values_[index].end(), event->values.begin(), event->values.end());
      if (!event->last()) return false;
      failure = event->status;
      usage_.num_prompt_tokens += event->usage.num_prompt_tokens;
      usage_.num_cached_prompt_tokens += event->usage.num_cached_prompt_tokens;
      all_answered = ++num_answered_ == values_.size();
    }
    if (!failure.ok() || all_answered) End(AboutInput(index, failure));
    return !all_answered;
  }

  static absl::Status AboutInput(size_t index, const absl::Status& status) {
    return status.ok() ? status : Annotate(status, absl::StrCat("input ", index));
  }

  void End(const absl::Status& status) {
    {
      absl::MutexLock lock(&mu_);
      if (std::exchange(ended_, true)) return;
      if (status.ok()) answer_(std::move(values_), usage_);
      for (const std::shared_ptr<GenerationStream>& stream : streams_) {
        if (stream != nullptr) stream->Cancel();
      }
    }
    Finish(ToGrpcStatus(status));
  }

  Engine* const engine_;
  std::shared_ptr<PooledReactor> self_;
  absl::Mutex mu_;
  std::vector<GenerationRequest> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<GenerationStream>> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<float>> values_ ABSL_GUARDED_BY(mu_);
  TokenUsage usage_ ABSL_GUARDED_BY(mu_);
  PooledAnswer answer_ ABSL_GUARDED_BY(mu_);
  size_t num_submitted_ ABSL_GUARDED_BY(mu_) = 0;
  size_t num_answered_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

grpc::ServerUnaryReactor* NewPooledReactor(Engine* engine, std::vector<GenerationRequest> requests,
                                           PooledAnswer answer) {
  return PooledReactor::New(engine, std::move(requests), std::move(answer));
}

}  // namespace oneai::serving
