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

// Adds an event to a message of the answer; both carry the same fields. GenerationResponse
// collects, GenerationChunk is fresh.
void AddEvent(const GenerationEvent& event, v1::GenerationChunk& chunk);
void AddEvent(const GenerationEvent& event, v1::GenerationResponse& response);

}  // namespace oneai::serving
