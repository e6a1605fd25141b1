// POST /v1/completions with a stream of server-sent events.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/http/client.h"
#include "base/status.h"
#include "benchmarks/serving/load_target.h"
#include "models/json/json_reader.h"

namespace oneai::serving {
namespace {

using models::Json;

// Splits a body into lines as it arrives.
class EventReader {
 public:
  explicit EventReader(const ChunkCallback& on_chunk) : on_chunk_(on_chunk) {}

  void Add(absl::string_view data) {
    pending_.append(data.data(), data.size());
    size_t begin = 0;
    for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      TakeLine(absl::string_view(pending_).substr(begin, end - begin));
    }
    pending_.erase(0, begin);
  }

  const std::string& error() const { return error_; }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  // Only the event with the usage is parsed: the client must not take the server's processors.
  void TakeLine(absl::string_view line) {
    line = absl::StripSuffix(line, "\r");
    if (!absl::ConsumePrefix(&line, "data:")) return;
    line = absl::StripPrefix(line, " ");
    if (absl::StartsWith(line, "[DONE]")) return;
    if (absl::StrContains(line.substr(0, 32), "\"error\"")) error_ = std::string(line);
    if (absl::StrContains(line, "\"completion_tokens\"")) {
      const absl::StatusOr<Json> event = models::ParseJson(line, "event");
      if (event.ok() && event->contains("usage") && event->at("usage").is_object())
        num_tokens_ = event->at("usage").value("completion_tokens", int64_t{0});
    }
    const bool has_choice = absl::StrContains(line, "\"choices\":[{");
    const bool is_last = absl::StrContains(line, "\"finish_reason\":\"");
    if (has_choice && !is_last) on_chunk_(1);
  }

  const ChunkCallback& on_chunk_;
  std::string pending_, error_;
  int64_t num_tokens_ = 0;
};

class HttpTarget final : public LoadTarget {
 public:
  HttpTarget(HttpTargetOptions options, Json extra)
      : options_(std::move(options)), extra_(std::move(extra)) {}

  absl::StatusOr<int64_t> Stream(const LoadRequest& load, const ChunkCallback& on_chunk) override {
    Json body = {{"prompt", load.prompt}, {"max_tokens", load.num_output},
                 {"temperature", 0},      {"ignore_eos", true},
                 {"stream", true},        {"stream_options", {{"include_usage", true}}}};
    if (!options_.model.empty()) body["model"] = options_.model;
    body.update(extra_);
    HttpRequest request;
    request.method = "POST";
    request.headers = {{"content-type", "application/json"}};
    if (!options_.token.empty())
      request.headers.emplace_back("authorization", absl::StrCat("Bearer ", options_.token));
    request.body = body.dump();
    HttpClientOptions client;
    client.ca_pem = options_.ca_pem;
    client.timeout = absl::Minutes(10);
    EventReader events(on_chunk);
    std::string first;  // of a body that is no stream: why it was refused
    ASSIGN_OR_RETURN(const HttpResponse response,
                     HttpFetchStream(options_.url + "/v1/completions", request, client,
                                     [&](absl::string_view data) {
                                       if (first.size() < 512)
                                         first.append(data.data(),
                                                      std::min<size_t>(data.size(), 512));
                                       events.Add(data);
                                       return true;
                                     }));
    if (response.status != 200)
      return absl::UnavailableError(absl::StrCat("HTTP ", response.status, ": ", first));
    if (!events.error().empty()) return absl::AbortedError(events.error());
    return events.num_tokens();
  }

 private:
  const HttpTargetOptions options_;
  const Json extra_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LoadTarget>> NewHttpTarget(HttpTargetOptions options) {
  ASSIGN_OR_RETURN(Json extra, models::ParseJson(options.extra_json, "--extra-json"));
  if (!extra.is_object()) return absl::InvalidArgumentError("--extra-json must be a JSON object");
  return std::make_unique<HttpTarget>(std::move(options), std::move(extra));
}

}  // namespace oneai::serving
