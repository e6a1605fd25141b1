// File: serving/gateway/openai_response.h
//
// Writing OpenAI's JSON: whole answers, stream chunks, model lists, errors. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/http/message.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/gateway/endpoint_directory.h"

namespace oneai::serving {

enum class OpenAiApi { kChat, kCompletion };

// What is the same in all chunks of one answer.
struct AnswerHead {
  OpenAiApi api = OpenAiApi::kChat;
  std::string id;  // request id; the prefix that clients expect is put before it
  std::string model;
  int64_t created_unix = 0;
  bool include_usage = false;  // stream only: `usage` is null in all chunks but an extra last one
};

std::string WholeAnswerJson(const AnswerHead& head,
                            const inference::v1::GenerationResponse& response);

// The frames "data: {...}\n\n" for one chunk. Chat's first chunk carries the role; the chunk with
// the finish reason is followed by the usage chunk when that was asked for.
std::string ChunkFrames(const AnswerHead& head, const inference::v1::GenerationChunk& chunk,
                        bool is_first);
inline constexpr char kDoneFrame[] = "data: [DONE]\n\n";
// An error after the stream has begun, as a frame that clients raise.
std::string ErrorFrame(const absl::Status& status);

std::string ModelJson(const EndpointView& model);
std::string ModelListJson(const std::vector<EndpointView>& models);

// HTTP status, OpenAI error body and, where waiting helps, Retry-After.
HttpResponse ErrorResponse(const absl::Status& status);

}  // namespace oneai::serving
