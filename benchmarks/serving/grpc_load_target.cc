#include "absl/strings/str_cat.h"
#include "base/grpc/channel.h"
#include "base/grpc/status.h"
#include "benchmarks/serving/load_target.h"
#include "oneai/inference/v1/inference.grpc.pb.h"

namespace oneai::serving {
namespace {

namespace v1 = ::oneai::inference::v1;

class GrpcTarget final : public LoadTarget {
 public:
  GrpcTarget(const std::string& address, const TlsCredentials& tls, std::string model,
             std::string token)
      : stub_(v1::InferenceService::NewStub(NewChannel(address, tls))),
        model_(std::move(model)),
        token_(std::move(token)) {}

  absl::StatusOr<int64_t> Stream(const LoadRequest& load, const ChunkCallback& on_chunk) override {
    v1::CompletionRequest request;
    request.set_model(model_);
    request.mutable_token_ids()->mutable_ids()->Add(load.prompt.begin(), load.prompt.end());
    v1::SamplingParams& sampling = *request.mutable_sampling();
    sampling.set_temperature(0);
    sampling.set_max_tokens(static_cast<int32_t>(load.num_output));
    sampling.set_ignore_eos(true);
    grpc::ClientContext context;
    PrepareContext(context, absl::Minutes(10), token_);
    const std::unique_ptr<grpc::ClientReader<v1::GenerationChunk>> reader =
        stub_->CompleteStream(&context, request);
    v1::GenerationChunk chunk;
    int64_t num_tokens = 0;
    while (reader->Read(&chunk)) {
      num_tokens += chunk.token_ids_size();
      if (chunk.token_ids_size() > 0) on_chunk(chunk.token_ids_size());
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return FromGrpcStatus(status);
    return num_tokens;
  }

 private:
  const std::unique_ptr<v1::InferenceService::Stub> stub_;
  const std::string model_, token_;
};

}  // namespace

std::unique_ptr<LoadTarget> NewGrpcTarget(const std::string& address, const TlsCredentials& tls,
                                          const std::string& model, const std::string& token) {
  return std::make_unique<GrpcTarget>(address, tls, model, token);
}

}  // namespace oneai::serving
