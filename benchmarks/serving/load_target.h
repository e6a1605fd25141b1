// A server that streams answers to prompts of tokens, as a load generator sees it: over our gRPC or
// over OpenAI's HTTP, so that a peer is measured by the same client.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/auth/pki.h"

namespace oneai::serving {

struct LoadRequest {
  std::vector<int32_t> prompt;
  int64_t num_output = 0;  // exactly so many: end tokens are ignored, tokens are chosen greedily
};

// Called with the tokens of a piece of an answer as it arrives.
using ChunkCallback = std::function<void(int64_t num_tokens)>;

// Thread-safe: one thread a request.
class LoadTarget {
 public:
  virtual ~LoadTarget() = default;
  // Returns the tokens of the whole answer, by the server's own count. Errors: the server's.
  virtual absl::StatusOr<int64_t> Stream(const LoadRequest& request,
                                         const ChunkCallback& on_chunk) = 0;
};

// InferenceService at `address` (host:port). `token`: an API key, for a gateway; may be empty.
std::unique_ptr<LoadTarget> NewGrpcTarget(const std::string& address, const TlsCredentials& tls,
                                          const std::string& model, const std::string& token);

struct HttpTargetOptions {
  std::string url;    // http://host:port, without /v1/completions
  std::string model;  // may be empty for servers of one model
  std::string token;  // an API key; may be empty
  std::string ca_pem;
  // Members that are added to every request's body, such as {"cache_prompt": false}.
  std::string extra_json = "{}";
};
// kInvalidArgument: extra_json is no object. A piece counts as one token, since OpenAI's stream
// does not say how many it holds.
absl::StatusOr<std::unique_ptr<LoadTarget>> NewHttpTarget(HttpTargetOptions options);

}  // namespace oneai::serving
