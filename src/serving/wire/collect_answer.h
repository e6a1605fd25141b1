// File: serving/wire/collect_answer.h
//
// The one place that knows how the chunks of a streamed answer make up the whole one: replicas and
// the gateway both collect.
#pragma once

#include "oneai/inference/v1/inference.pb.h"

namespace oneai::serving {

// Adds the next chunk. Chunks of different choices may be mixed; those of one choice come in order.
void AddChunk(const inference::v1::GenerationChunk& chunk,
              inference::v1::GenerationResponse& response);

// The last chunk of an answer, all its choices included.
inline bool EndsAnswer(const inference::v1::GenerationChunk& chunk) { return chunk.has_usage(); }

}  // namespace oneai::serving
