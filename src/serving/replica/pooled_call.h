// File: serving/replica/pooled_call.h
//
// A call that asks the model one thing about each of many inputs (embeddings, scores): the inputs
// become requests of the engine, a few at a time, and the call ends when all are answered.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <vector>

#include "serving/engine/engine.h"

namespace oneai::serving {

// Writes the response from the values of each input, in the order of the inputs.
using PooledAnswer =
    std::function<void(std::vector<std::vector<float>> values, const TokenUsage& usage)>;

// At most so many inputs of one call are with the engine at once, so that a large call leaves room
// in the queue for others.
inline constexpr int64_t kPooledInFlight = 32;

// Returns a reactor that deletes itself when the call is done. `engine` must outlive it; `answer`
// is called at most once, before the call ends well. The first input that fails ends the call with
// its status and the input's index, and cancels the others.
grpc::ServerUnaryReactor* NewPooledReactor(Engine* engine, std::vector<GenerationRequest> requests,
                                           PooledAnswer answer);

}  // namespace oneai::serving
