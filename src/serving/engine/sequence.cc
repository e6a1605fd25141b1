#include "serving/engine/sequence.h"

#include <utility>

#include "base/status.h"

namespace oneai::serving {

Sequence::Sequence(SequenceId id, int64_t arrival, GenerationRequest r, const TokenTable& tokens,
                   std::shared_ptr<GenerationStream> stream, absl::Time submitted)
    : id(id),
      arrival(arrival),
      request(std::move(r)),
      stream(std::move(stream)),
      submitted(submitted),
      tokens(request.prompt),
      sampler_(request.sampling, request.prompt, tokens.end_ids, tokens.num_tokens),
      stops_(request.sampling.stop,
             request.sampling.include_stop ? StopText::kKeep : StopText::kDrop) {
  if (tokens.tokenizer != nullptr) {
    characters_.emplace(*tokens.tokenizer, models::SpecialText::kSkip);
  }
}

absl::StatusOr<bool> Sequence::AddToken(absl::Span<float> logits,
                                        kernels::SamplingScratch& scratch) {
  ASSIGN_OR_RETURN(const int32_t token, sampler_.Sample(logits, scratch));
  tokens.push_back(token);
  GenerationEvent event;
  event.token_ids.push_back(token);
  if (sampler_.IsEnd(token)) {
    finish_reason_ = FinishReason::kStop;
  } else {
    if (characters_.has_value()) event.text = Filter(characters_->Push(token));
    if (finish_reason_ == FinishReason::kNone &&
        sampler_.num_generated() >= request.sampling.max_tokens) {
      finish_reason_ = FinishReason::kLength;
    }
  }
  stream->Push(std::move(event));
  return finish_reason_ != FinishReason::kNone;
}

std::string Sequence::Filter(std::string text) {
  if (sampler_.num_generated() < request.sampling.min_tokens) return text;
  StopMatcher::Result result = stops_.Append(text);
  if (!result.matched.empty()) {
    stop_string_ = std::move(result.matched);
    finish_reason_ = FinishReason::kStop;
  }
  return std::move(result.text);
}

void Sequence::Finish(const absl::Status& status) {
  GenerationEvent event;
  if (!status.ok()) {
    finish_reason_ = absl::IsCancelled(status) ? FinishReason::kCancelled : FinishReason::kError;
    event.status = status;
  } else if (stop_string_.empty()) {
    if (characters_.has_value()) event.text = Filter(characters_->Finish());
    if (stop_string_.empty()) event.text += stops_.Flush();
  }
  event.finish_reason = finish_reason_;
  event.ends_request = true;
  event.stop_string = stop_string_;
  event.usage = Usage();
  stream->Push(std::move(event));
}

SequenceView Sequence::View() const {
  SequenceView view;
  view.id = id;
  view.tenant = tenant;
  view.priority = request.priority;
  view.arrival = arrival;
  view.deadline = request.deadline;
  view.paused = paused_since != absl::InfiniteFuture();
  view.resumed = resumed;
  view.num_tokens = static_cast<int64_t>(tokens.size());
  view.num_computed = num_computed;
  return view;
}

TokenUsage Sequence::Usage() const {
  return {static_cast<int64_t>(request.prompt.size()), sampler_.num_generated()};
}

}  // namespace oneai::serving
