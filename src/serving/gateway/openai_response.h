// File: serving/gateway/openai_response.h
//
// Writing OpenAI's JSON: whole answers, stream chunks, model lists, errors. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
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

// A streamed answer's frames, chunk by chunk. Thread-compatible.
class StreamFrames {
 public:
  explicit StreamFrames(AnswerHead head) : head_(std::move(head)) {}

  // The frames "data: {...}\n\n" for one chunk, possibly none. Chat's first chunk of a choice
  // carries the role; the last chunk of all is followed by the usage chunk when that was asked for.
  std::string Write(const inference::v1::GenerationChunk& chunk);

 private:
  const AnswerHead head_;
  std::map<int32_t, int64_t> written_;  // choice -> characters of its text so far
};
inline constexpr char kDoneFrame[] = "data: [DONE]\n\n";
// An error after the stream has begun, as a frame that clients raise.
std::string ErrorFrame(const absl::Status& status);

// The endpoint, or one of its adapters (which need not be known here).
std::string ModelJson(const EndpointView& model, const std::string& adapter);
std::string ModelListJson(const std::vector<EndpointView>& models);

// The same for what HTTP itself refuses (`http_status` 4xx or 5xx), with `message` as it is.
HttpResponse RefusalResponse(int http_status, absl::string_view message);

// HTTP status, OpenAI error body and, where waiting helps, Retry-After.
HttpResponse ErrorResponse(const absl::Status& status);

}  // namespace oneai::serving
