#include "serving/engine/engine_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

absl::Status CheckDraft(const EngineOptions& options, const ModelRunner& runner,
                        const TokenTable& tokens, const ModelRunner* draft) {
  if ((options.speculation == Speculation::kDraftModel) != (draft != nullptr)) {
    return absl::InvalidArgumentError(
        draft == nullptr ? "speculation with a draft model needs one"
                         : "there is a draft model, but speculation does not use one");
  }
  if (options.speculation == Speculation::kMtp && !runner.has_draft_head()) {
    return absl::InvalidArgumentError(
        "speculation \"mtp\" needs a multi-token-prediction head, and this model's weights hold "
        "none (no tensors mtp.*); use \"prompt_lookup\" or a draft model");
  }
  if (draft == nullptr) return absl::OkStatus();
  if (!draft->generates_text() || draft->num_state_slots() > 0) {
    return absl::InvalidArgumentError(
        "the draft model is a classifier or has recurrent layers; choose a plain language model");
  }
  if (draft->vocab_size() < tokens.num_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("the draft model knows ", draft->vocab_size(),
                                                   " tokens and the model ", tokens.num_tokens,
                                                   "; choose a draft of the same family"));
  }
  return absl::OkStatus();
}

absl::Status CheckTokenIds(const char* name, absl::Span<const int32_t> ids, int64_t end) {
  for (int32_t id : ids) {
    if (id < 0 || id >= end) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ", name, " holds token id ", id, "; the model knows 0 to ", end - 1));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckChoices(const GenerationRequest& r) {
  if (r.num_choices < 1 || r.num_choices > kChoicesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("n is ", r.num_choices, "; it must be from 1 to ", kChoicesMax));
  }
  if (r.best_of < r.num_choices || r.best_of > kChoicesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "best_of is ", r.best_of, "; it must be from n, ", r.num_choices, ", to ", kChoicesMax));
  }
  if (r.sampling.max_tokens == 0 && r.best_of > 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens is 0 and best_of is ", r.best_of,
                                                   "; a prompt alone has one answer"));
  }
  return absl::OkStatus();
}

// The kinds of answers that are no text.
absl::Status CheckValues(const GenerationRequest& r, const ModelRunner& runner) {
  if (r.best_of != 1 || r.grammar != nullptr || r.sampling.prompt_logprobs >= 0) {
    return absl::InvalidArgumentError(
        "embeddings and scores have one answer, without a grammar and without log-probabilities");
  }
  if (r.kind == RequestKind::kHidden) {
    if (runner.hidden_size() > 0) return absl::OkStatus();
    return absl::InvalidArgumentError("this model gives no embeddings");
  }
  if (!runner.generates_text()) {
    if (r.score_ids.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "the model is a classifier, which scores all its labels; name no tokens");
  }
  if (r.score_ids.empty()) {
    return absl::InvalidArgumentError("scores of a language model need at least one token id");
  }
  return CheckTokenIds("list of scored tokens", r.score_ids, runner.output_dim());
}

absl::Status CheckText(const GenerationRequest& r, int64_t max_context_tokens,
                       const ModelRunner& runner) {
  if (!runner.generates_text()) {
    return absl::InvalidArgumentError("the model is a classifier, which generates no text");
  }
  RETURN_IF_ERROR(CheckChoices(r));
  RETURN_IF_ERROR(ValidateSampling(r.sampling));
  RETURN_IF_ERROR(ValidateTokenIds(r.sampling, runner.vocab_size()));
  if (r.grammar != nullptr && r.grammar->vocabulary().num_tokens() > runner.output_dim()) {
    return absl::InvalidArgumentError(absl::StrCat("the grammar was compiled for ",
                                                   r.grammar->vocabulary().num_tokens(),
                                                   " tokens; the model has ", runner.output_dim()));
  }
  const int64_t num_prompt = static_cast<int64_t>(r.prompt.size());
  // Compared by subtraction: max_tokens may be as large as an int64.
  if (r.sampling.max_tokens > max_context_tokens - num_prompt) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the prompt has ", num_prompt, " tokens and max_tokens is ", r.sampling.max_tokens,
        "; together they must not exceed the context of ", max_context_tokens, " tokens"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckOptions(const EngineOptions& options, const ModelRunner& runner,
                          const TokenTable& tokens, const ModelRunner* draft) {
  if (options.max_context_tokens < 2 || options.max_waiting_requests < 1 ||
      options.pending_tokens_max < 1) {
    return absl::InvalidArgumentError(
        "max_context_tokens must be at least 2, max_waiting_requests and pending_tokens_max at "
        "least 1");
  }
  if (options.max_running_sequences < 1 ||
      options.max_batch_tokens < options.max_running_sequences) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_running_sequences is ", options.max_running_sequences,
                     "; it must be from 1 to max_batch_tokens, ", options.max_batch_tokens));
  }
  const int64_t cached = runner.num_blocks() * runner.block_tokens();
  if (cached < options.max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the KV cache holds ", cached, " tokens, fewer than max_context_tokens, ",
        options.max_context_tokens, "; raise kv_cache_bytes or lower max_context_tokens"));
  }
  if (options.starvation_bound <= absl::ZeroDuration() || options.draft_tokens_max < 0 ||
      options.draft_tokens_max > 64 || !(options.draft_row_cost.value_or(1) > 0) ||
      options.draft_row_cost.value_or(1) > 1 || options.state_interval_tokens < 1) {
    return absl::InvalidArgumentError(
        "starvation_bound must be positive, draft_tokens_max from 0 to 64, draft_row_cost above 0 "
        "and at most 1, state_interval_tokens at least 1");
  }
  return CheckDraft(options, runner, tokens, draft);
}

absl::Status CheckRequest(const GenerationRequest& r, int64_t max_context_tokens,
                          const ModelRunner& runner) {
  if (r.prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty; it must hold at least one token");
  }
  RETURN_IF_ERROR(CheckTokenIds("prompt", r.prompt, runner.vocab_size()));
  if (r.kind == RequestKind::kText) return CheckText(r, max_context_tokens, runner);
  if (static_cast<int64_t>(r.prompt.size()) > max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("the text has ", r.prompt.size(),
                                                   " tokens; the context of the model is ",
                                                   max_context_tokens, " tokens"));
  }
  return CheckValues(r, runner);
}

int64_t DraftsFor(Sequence& sequence, const EngineOptions& options, double cost) {
  const int64_t num_tokens = static_cast<int64_t>(sequence.tokens.size());
  const int64_t num_output = num_tokens - sequence.num_prompt();
  // Only where a single token is missing: the rest of a prompt is a full step anyway.
  if (num_output == 0 || num_tokens - sequence.num_computed != 1) return 0;
  const int64_t most = std::min(sequence.owner.request.sampling.max_tokens - num_output - 1,
                                options.max_context_tokens - num_tokens);
  if (most <= 0) return 0;
  return std::min(most, sequence.draft_length.Next(cost));
}

}  // namespace oneai::serving
