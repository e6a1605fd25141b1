#include "serving/replica/answer_reactors.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/grpc/status.h"
#include "serving/wire/collect_answer.h"

namespace oneai::serving {
namespace {

// Lifetime: gRPC holds a raw pointer until OnDone, the engine a shared one until the last event;
// `self_` stands for gRPC's.
class StreamReactor final : public grpc::ServerWriteReactor<v1::GenerationChunk> {
 public:
  static StreamReactor* New(ReplicaService::Accepted accepted) {
    auto reactor = std::shared_ptr<StreamReactor>(new StreamReactor(std::move(accepted)));
    reactor->self_ = reactor;
    // Kept by value: the call may be done before OnReady returns.
    const std::shared_ptr<GenerationStream> stream = reactor->stream_;
    stream->OnReady([reactor] { reactor->Pump(); });
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
    }
    if (!ok) stream_->Cancel();  // the last event will come and finish the call
    Pump();
  }
  void OnCancel() override { stream_->Cancel(); }
  void OnDone() override {
    stream_->Cancel();
    self_.reset();
  }

 private:
  explicit StreamReactor(ReplicaService::Accepted accepted)
      : stream_(std::move(accepted.stream)), writer_(std::move(accepted.format)) {}

  // Starts the next write if none is in flight and there is something to say.
  void Pump() {
    std::optional<GenerationEvent> event;
    {
      absl::MutexLock lock(&mu_);
      if (writing_ || finished_) return;
      event = stream_->Take();
      if (!event.has_value()) return;
      writing_ = true;
      finished_ = event->last();
      chunk_ = writer_.Write(*event);
    }
    if (!event->status.ok()) {
      Finish(ToGrpcStatus(event->status));
    } else if (event->last()) {
      StartWriteAndFinish(&chunk_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      StartWrite(&chunk_);
    }
  }

  const std::shared_ptr<GenerationStream> stream_;
  std::shared_ptr<StreamReactor> self_;
  absl::Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  AnswerWriter writer_ ABSL_GUARDED_BY(mu_);
  v1::GenerationChunk chunk_;  // of the write in flight
};

class WholeReactor final : public grpc::ServerUnaryReactor {
 public:
  static WholeReactor* New(ReplicaService::Accepted accepted, v1::GenerationResponse* response) {
    auto reactor = std::shared_ptr<WholeReactor>(new WholeReactor(std::move(accepted), response));
    reactor->self_ = reactor;
    const std::shared_ptr<GenerationStream> stream = reactor->stream_;
    stream->OnReady([reactor] { reactor->Collect(); });
    return reactor.get();
  }
  void OnCancel() override { stream_->Cancel(); }
  void OnDone() override { self_.reset(); }

 private:
  WholeReactor(ReplicaService::Accepted accepted, v1::GenerationResponse* response)
      : stream_(std::move(accepted.stream)),
        writer_(std::move(accepted.format)),
        response_(response) {}

  void Collect() {
    absl::Status status;
    {
      absl::MutexLock lock(&mu_);
      bool is_last = false;
      while (!is_last) {
        const std::optional<GenerationEvent> event = stream_->Take();
        if (!event.has_value()) return;
        is_last = event->last();
        status = event->status;
        AddChunk(writer_.Write(*event), *response_);
      }
    }
    Finish(ToGrpcStatus(status));
  }

  const std::shared_ptr<GenerationStream> stream_;
  std::shared_ptr<WholeReactor> self_;
  absl::Mutex mu_;
  AnswerWriter writer_ ABSL_GUARDED_BY(mu_);
  v1::GenerationResponse* const response_ ABSL_PT_GUARDED_BY(mu_);
};

template <typename Base>
class FinishedReactor final : public Base {
 public:
  explicit FinishedReactor(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerationChunk>* NewStreamReactor(
    absl::StatusOr<ReplicaService::Accepted> accepted) {
  if (accepted.ok()) return StreamReactor::New(*std::move(accepted));
  return new FinishedReactor<grpc::ServerWriteReactor<v1::GenerationChunk>>(accepted.status());
}

grpc::ServerUnaryReactor* NewWholeReactor(absl::StatusOr<ReplicaService::Accepted> accepted,
                                          v1::GenerationResponse* response) {
  if (accepted.ok()) return WholeReactor::New(*std::move(accepted), response);
  return NewFinishedReactor(accepted.status());
}

grpc::ServerUnaryReactor* NewFinishedReactor(const absl::Status& status) {
  return new FinishedReactor<grpc::ServerUnaryReactor>(status);
}

}  // namespace oneai::serving
