#include "serving/engine/request.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace oneai::serving {

ActiveRequest::ActiveRequest(int64_t number, GenerationRequest r,
                             std::shared_ptr<GenerationStream> stream, absl::Time submitted)
    : number(number), request(std::move(r)), stream(std::move(stream)), submitted(submitted) {
  usage.num_prompt_tokens = static_cast<int64_t>(request.prompt.size());
  if (!chooses_best()) return;
  answers_.resize(request.best_of);
  num_tokens_.resize(request.best_of);
  log_prob_sums.resize(request.best_of);
}

void ActiveRequest::Push(GenerationEvent event) {
  if (!chooses_best()) {
    stream->Push(std::move(event));
    return;
  }
  num_tokens_[event.choice] += static_cast<int64_t>(event.token_ids.size());
  const int32_t choice = event.choice;
  AppendEvent(answers_[choice], std::move(event));
}

bool ActiveRequest::EndChoice(GenerationEvent event) {
  if (finish_reason_ == FinishReason::kNone) finish_reason_ = event.finish_reason;
  const bool is_last = ++num_ended_ == request.best_of;
  if (is_last && !chooses_best()) {
    event.ends_request = true;
    event.usage = usage;
  }
  Push(std::move(event));
  if (is_last && chooses_best()) GiveBest();
  return is_last;
}

void ActiveRequest::GiveBest() {
  std::vector<int32_t> order(answers_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto mean = [this](int32_t c) {
    return log_prob_sums[c] / static_cast<double>(std::max<int64_t>(1, num_tokens_[c]));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return mean(a) > mean(b); });
  for (int32_t i = 0; i < request.num_choices; ++i) {
    GenerationEvent event = std::move(answers_[order[i]]);
    event.choice = i;
    if (i + 1 == request.num_choices) {
      event.ends_request = true;
      event.usage = usage;
    }
    stream->Push(std::move(event));
  }
}

void ActiveRequest::Fail(const absl::Status& status) {
  finish_reason_ = absl::IsCancelled(status) ? FinishReason::kCancelled : FinishReason::kError;
  GenerationEvent event;
  event.finish_reason = finish_reason_;
  event.status = status;
  event.usage = usage;
  event.ends_request = true;
  stream->Push(std::move(event));
}

}  // namespace oneai::serving
