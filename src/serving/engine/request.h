// File: serving/engine/request.h
//
// A request inside the engine: what its answers share, and where they go.
#pragma once

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "serving/engine/generation.h"
#include "serving/engine/generation_stream.h"

namespace oneai::serving {

// Thread-compatible; used on the engine thread.
class ActiveRequest {
 public:
  ActiveRequest(int64_t number, GenerationRequest request, std::shared_ptr<GenerationStream> stream,
                absl::Time submitted);

  // A piece of an answer. Goes out at once unless the best answers are yet to be chosen.
  void Push(GenerationEvent event);
  // The last piece of an answer; true: it was the last answer, and the request has ended.
  bool EndChoice(GenerationEvent event);
  // Ends the request in the middle.
  void Fail(const absl::Status& status);

  // True when only the best of the answers are given, so that none can go out before all are there.
  bool chooses_best() const { return request.best_of > request.num_choices; }
  int32_t num_unfinished() const { return request.best_of - num_ended_; }
  FinishReason finish_reason() const { return finish_reason_; }

  const int64_t number;
  const GenerationRequest request;
  const std::shared_ptr<GenerationStream> stream;
  const absl::Time submitted;

  int64_t tenant = 0;           // index in the ledger
  int64_t adapter_edition = 0;  // of the adapter's number, which may be used again
  bool forked = false;          // the choices beside the first exist
  TokenUsage usage;
  std::vector<double> log_prob_sums;             // by choice, when chooses_best()
  absl::Time admitted = absl::InfiniteFuture();  // first time
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time paused_since = absl::InfiniteFuture();  // the reader is behind since then

 private:
  void GiveBest();

  std::vector<GenerationEvent> answers_;  // by choice, when chooses_best()
  std::vector<int64_t> num_tokens_;       // beside answers_
  int32_t num_ended_ = 0;
  FinishReason finish_reason_ = FinishReason::kNone;
};

}  // namespace oneai::serving
