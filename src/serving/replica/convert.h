// File: serving/replica/convert.h
//
// Between the wire (proto/oneai/inference/v1) and the engine's values.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/engine/generation.h"
#include "serving/grammar/grammar.h"

namespace oneai::serving {

namespace v1 = ::oneai::inference::v1;

// The request's parameters over those of the model's generation_config.json over the proto's
// defaults. `default_max_tokens` and `drawn_seed` stand in where the request says nothing.
// kInvalidArgument: as ValidateSampling.
absl::StatusOr<SamplingSettings> ToSamplingSettings(const v1::SamplingParams& params,
                                                    const models::GenerationConfig& model,
                                                    int64_t default_max_tokens,
                                                    uint64_t drawn_seed);

v1::FinishReason ToProto(FinishReason reason);

// What the answer must be; nullopt when the request leaves it free. kInvalidArgument: an empty text
// or list of choices.
absl::StatusOr<std::optional<GrammarSpec>> ToGrammarSpec(const v1::StructuredOutput& structured);

// num_choices and best_of of a request, 1 unless set. kInvalidArgument: out of range.
absl::Status SetChoices(const v1::SamplingParams& params, GenerationRequest& request);

}  // namespace oneai::serving
