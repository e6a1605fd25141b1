// File: serving/replica/request_builder.h
//
// From a call to what the engine is asked and how its answer is written:
//   prompt -> sampling -> grammar -> adapter -> GenerationRequest + AnswerFormat.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/config/model_config.h"
#include "oneai/inference/v1/inference.pb.h"
#include "serving/engine/generation.h"
#include "serving/grammar/grammar_cache.h"
#include "serving/replica/adapter_names.h"
#include "serving/replica/answer_writer.h"
#include "serving/replica/prompt_builder.h"

namespace oneai::serving {

// What a model is for; each answers its own calls only.
enum class ModelTask { kGenerate, kEmbed, kRerank, kClassify };

struct ReplicaModel {
  std::string name;                     // what callers ask for; "" in a request means this one
  std::string version;                  // its registry reference; may be empty
  models::GenerationConfig generation;  // the author's sampling parameters
  ModelTask task = ModelTask::kGenerate;
  AdapterNames adapters;  // LoRA adapters, which may come and go
  int64_t max_context_tokens = 0;
  int64_t hidden_size = 0;  // of embeddings
};

struct BuiltRequest {
  GenerationRequest generation;
  AnswerFormat format;
};

// Immutable but for the cache of grammars; thread-safe. Compiles grammars on the calling thread.
class RequestBuilder {
 public:
  // All must outlive it. `grammars` null: structured output is refused.
  RequestBuilder(ReplicaModel model, const PromptBuilder* prompts, GrammarCache* grammars)
      : model_(std::move(model)), prompts_(prompts), grammars_(grammars) {}

  // Errors: kNotFound: another model, an unknown adapter. kFailedPrecondition: the model is not for
  // this. kInvalidArgument: anything else, naming the parameter.
  absl::StatusOr<BuiltRequest> Build(const v1::CompletionRequest& request) const;
  absl::StatusOr<BuiltRequest> Build(const v1::ChatRequest& request) const;
  // One request of the engine for each input or document.
  absl::StatusOr<std::vector<GenerationRequest>> Build(const v1::EmbedRequest& request) const;
  absl::StatusOr<std::vector<GenerationRequest>> Build(const v1::RerankRequest& request) const;
  absl::StatusOr<std::vector<GenerationRequest>> Build(const v1::ClassifyRequest& request) const;

  const ReplicaModel& model() const { return model_; }

 private:
  absl::StatusOr<int32_t> FindAdapter(const std::string& model, const std::string& adapter) const;
  absl::Status CheckTask(ModelTask wanted, const char* call) const;
  absl::Status SetGrammar(const v1::StructuredOutput& structured, Thoughts thoughts,
                          absl::string_view before, GenerationRequest& out) const;
  absl::Status SetThoughtLimit(const v1::ChatRequest& request, Thoughts thoughts,
                               GenerationRequest& out) const;
  template <typename Request>
  absl::Status Fill(const Request& request, int64_t default_max_tokens, BuiltRequest& built) const;
  std::vector<int32_t> InputTokens(const v1::TextInput& input) const;

  const ReplicaModel model_;
  const PromptBuilder* const prompts_;
  GrammarCache* const grammars_;
};

}  // namespace oneai::serving
