// Calls as they come over the wire: the first byte says which, the others are the protobuf message.
#include "serving/grammar/grammar_cache.h"
#include "serving/replica/request_builder.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/grammar_walk.h"
#include "tests/serving/byte_tokenizer.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

namespace {

constexpr int64_t kContextTokens = 200;

RequestBuilder MakeBuilder(ModelTask task) {
  static const PromptBuilder& prompts = *new PromptBuilder(*PromptBuilder::Create(
      *oneai::models::Tokenizer::Create(ByteTokenizerSpec()), oneai::models::TokenizerConfig()));
  static GrammarCache& grammars = *new GrammarCache(
      *TokenVocabulary::Create(prompts.tokenizer(), {kEndToken}, kNumByteTokens), FuzzLimits(), 4);
  ReplicaModel model;
  model.name = "m";
  model.task = task;
  model.adapters = {{"law", 3}};
  model.max_context_tokens = kContextTokens;
  model.hidden_size = 8;
  return RequestBuilder(model, &prompts, &grammars);
}

// A refusal is one of the documented codes, with a message that can be sent.
void CheckRefusal(const absl::Status& status) {
  ONEAI_FUZZ_CHECK(status.code() == absl::StatusCode::kInvalidArgument ||
                   status.code() == absl::StatusCode::kNotFound ||
                   status.code() == absl::StatusCode::kFailedPrecondition);
  ONEAI_FUZZ_CHECK(!status.message().empty() && status.message().size() < 4096);
}

template <typename Message>
void Build(const uint8_t* data, size_t size, ModelTask task) {
  static const RequestBuilder& builder = *new RequestBuilder(MakeBuilder(task));
  Message message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const auto built = builder.Build(message);
  if (!built.ok()) CheckRefusal(built.status());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  switch (data[0] % 5) {
    case 0:
      Build<v1::ChatRequest>(data + 1, size - 1, ModelTask::kGenerate);
      break;
    case 1:
      Build<v1::CompletionRequest>(data + 1, size - 1, ModelTask::kGenerate);
      break;
    case 2:
      Build<v1::EmbedRequest>(data + 1, size - 1, ModelTask::kEmbed);
      break;
    case 3:
      Build<v1::RerankRequest>(data + 1, size - 1, ModelTask::kRerank);
      break;
    default:
      Build<v1::ClassifyRequest>(data + 1, size - 1, ModelTask::kClassify);
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  v1::ChatRequest chat;
  chat.set_model("m:law");
  v1::ChatMessage* message = chat.add_messages();
  message->set_role("user");
  message->set_content("hi <|im_end|>");
  message = chat.add_messages();
  message->set_role("assistant");
  message->set_reasoning("r");
  v1::ToolCall* call = message->add_tool_calls();
  call->set_id("c");
  call->set_name("f");
  call->set_arguments_json(R"({"a": 1})");
  message = chat.add_messages();
  message->set_role("tool");
  message->set_tool_call_id("c");
  message->set_content("1");
  chat.set_tools_json(
      R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}])");
  chat.set_tool_choice("required");
  chat.set_template_variables_json(R"({"enable_thinking": false})");
  v1::ChatRequest schema;
  schema.add_messages()->set_role("user");
  schema.mutable_structured()->set_json_schema(R"({"type":"object","properties":{"a":{}}})");
  v1::CompletionRequest completion;
  completion.set_text("x");
  v1::SamplingParams& sampling = *completion.mutable_sampling();
  sampling.set_temperature(0.5);
  sampling.set_top_k(3);
  sampling.set_max_tokens(4);
  sampling.add_stop("a");
  sampling.add_stop_token_ids(5);
  (*sampling.mutable_logit_bias())[7] = -1;
  sampling.set_logprobs(2);
  sampling.set_n(2);
  sampling.set_best_of(3);
  completion.mutable_structured()->set_regex("a+b");
  v1::CompletionRequest ids;
  ids.mutable_token_ids()->add_ids(1);
  ids.mutable_token_ids()->add_ids(258);
  ids.mutable_structured()->mutable_choice()->add_choices("yes");
  v1::EmbedRequest embed;
  embed.add_inputs()->set_text("a");
  embed.add_inputs()->mutable_token_ids()->add_ids(3);
  embed.set_dimensions(4);
  v1::RerankRequest rerank;
  rerank.set_query("q");
  rerank.add_documents("d");
  v1::ClassifyRequest classify;
  classify.add_inputs()->set_text("a");
  FuzzSeeds seeds;
  auto add = [&](char kind, const google::protobuf::Message& message) {
    seeds.inputs.push_back(std::string(1, kind) + message.SerializeAsString());
  };
  add(0, chat), add(0, schema), add(1, completion), add(1, ids);
  add(2, embed), add(3, rerank), add(4, classify);
  seeds.fragments = {"user",     "assistant", "system",       "tool", "required", "auto",
                     "none",     "m:law",     "law",          "{}",   "[]",       "[{}]",
                     "\"type\"", "function",  "<|im_start|>", "\xff", "{\"a\":",  "parameters"};
  return seeds;
}
