#include "models/config/model_config.h"
#include "models/config/published.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = ParseModelConfig(text, "fuzz"); config.ok()) {
    // What is accepted is valid, and survives being written.
    ONEAI_FUZZ_CHECK(ValidateModelConfig(*config).ok());
    const auto again = ParseModelConfig(ToHfJson(*config), "fuzz");
    ONEAI_FUZZ_CHECK(again.ok() && ToHfJson(*again) == ToHfJson(*config));
  }
  if (const auto config = ParseGenerationConfig(text, "fuzz"); config.ok())
    ONEAI_FUZZ_CHECK(ParseGenerationConfig(ToHfJson(*config), "fuzz").ok());
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  ModelConfig config;
  config.vocab_size = 512;
  config.hidden_size = 64;
  config.intermediate_size = 112;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 16;
  config.qk_norm = true;
  config.eos_token_ids = {1, 2};
  config.layer_types = {LayerType::kFullAttention, LayerType::kFullAttention};
  FuzzSeeds seeds;
  seeds.inputs.push_back(ToHfJson(config));
  config.family = ModelFamily::kQwen2;
  config.layer_types[0] = LayerType::kSlidingAttention;
  config.sliding_window = 8;
  config.rope.scaling = RopeScaling::kYarn;
  config.rope.yarn_factor = 4;
  config.rope.yarn_original_positions = 32;
  seeds.inputs.push_back(ToHfJson(config));
  for (const char* name : {"qwen-1.8b", "qwen1.5-moe-a2.7b", "qwen3-30b-a3b", "qwen3-next-80b-a3b"})
    seeds.inputs.push_back(ToHfJson(*PublishedConfig(name)));
  seeds.inputs.push_back(
      R"({"model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8,
          "num_hidden_layers": 1, "num_attention_heads": 2, "rope_scaling": {"rope_type": "llama3",
          "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
          "original_max_position_embeddings": 64}})");
  seeds.inputs.push_back(
      R"({"model_type": "qwen3_5", "text_config": {"vocab_size": 8, "hidden_size": 8,
          "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 16,
          "linear_num_key_heads": 1, "linear_num_value_heads": 2, "linear_key_head_dim": 4,
          "linear_value_head_dim": 4}})");
  seeds.inputs.push_back(
      R"({"eos_token_id": [1, 2], "temperature": 0.7, "top_p": 0.8, "top_k": 20})");
  seeds.fragments = {"null",
                     "-1",
                     "1e308",
                     "1e-308",
                     "9223372036854775808",
                     "[]",
                     "{}",
                     "\"yarn\"",
                     "true",
                     "\"\"",
                     "\"rope_parameters\": {\"rope_theta\": 1e6},",
                     "\"layer_types\": [],",
                     "\"head_dim\": 3,",
                     "\xff"};
  return seeds;
}
