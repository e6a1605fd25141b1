// The bodies of the gateway's HTTP calls: the first byte says which.
#include "serving/gateway/openai_pooled.h"
#include "serving/gateway/openai_request.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::serving;  // NOLINT: a test's main namespace

namespace {

// A refusal is InvalidArgument with a message that can be sent: bounded however long the body is.
template <typename Parsed>
void Check(const Parsed& parsed) {
  if (parsed.ok()) return;
  ONEAI_FUZZ_CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
  ONEAI_FUZZ_CHECK(!parsed.status().message().empty());
  ONEAI_FUZZ_CHECK(parsed.status().message().size() < 1024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] - '0') {
    case 0:
      Check(ParseChatCompletion(body));
      break;
    case 1:
      Check(ParseCompletion(body));
      break;
    case 2:
      Check(ParseEmbeddings(body));
      break;
    case 3:
      Check(ParseRerank(body));
      break;
    case 4:
      Check(ParseClassify(body));
      break;
    default:
      break;
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  seeds.inputs = {
      R"(0{"model":"m","messages":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"text","text":"u"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"1"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":true,"stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}})",
      R"(0{"model":"m","messages":[{"role":"user","content":"u"}],"temperature":0.5,"top_p":0.9,"top_k":-1,"min_p":0,"presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.1,"seed":-1,"max_completion_tokens":3,"min_tokens":1,"ignore_eos":true,"stop":["a","b"],"stop_token_ids":[1],"logit_bias":{"5":-100},"logprobs":true,"top_logprobs":5,"n":2,"user":"x","chat_template_kwargs":{"enable_thinking":false},"cache_salt":"s","guided_regex":"a+"})",
      R"(1{"model":"m:law","prompt":[1,2,3],"echo":true,"logprobs":2,"best_of":3,"n":2,"suffix":null,"guided_choice":["a","b"],"priority":1})",
      R"(1{"model":"m","prompt":["text"],"structured_outputs":{"grammar":"root ::= \"a\""}})",
      R"(2{"model":"m","input":["a",[1,2]],"encoding_format":"base64","dimensions":8})",
      R"(3{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"return_documents":false})",
      R"(4{"model":"m","input":["a","b"]})"};
  seeds.fragments = {"\"messages\":[",
                     "\"content\":",
                     "\"role\":\"tool\"",
                     "\"tool_calls\":[",
                     "\"function\":{",
                     "\"arguments\":\"{}\"",
                     "\"prompt\":",
                     "\"input\":",
                     "\"response_format\":{",
                     "\"guided_json\":{}",
                     "\"logit_bias\":{\"0\":1}",
                     "\"stop\":[",
                     "\"max_tokens\":",
                     "1e999",
                     "-9223372036854775808",
                     "18446744073709551615",
                     "2147483648",
                     "null",
                     "true",
                     "[[[[[[",
                     "{\"a\":{\"a\":{\"a\":",
                     "\\ud800",
                     "\xff",
                     "\\u0000",
                     "\"image_url\"",
                     "\"json_object\""};
  return seeds;
}
