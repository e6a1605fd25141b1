#include "models/config/model_config.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "models/config/published.h"
#include "models/json/json_reader.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

// The tiny models whose configs are in the tree.
constexpr const char* kModels[] = {
    "qwen2_tied",   "qwen2_untied", "qwen2_yarn", "qwen2_sliding_window",
    "qwen2_seqcls", "qwen3",        "qwen2_moe",  "qwen3_moe",
    "qwen3_next",   "qwen3_5",      "qwen3_5_moe"};

std::filesystem::path Folder(absl::string_view model) {
  const std::filesystem::path folder = testing::DataDir() / "model_configs" / std::string(model);
  return std::filesystem::exists(folder) ? folder
                                         : testing::DataDir() / "golden" / std::string(model);
}

TEST(ModelConfigTest, BothFormsOfTheFileMeanTheSameModel) {
  for (const char* model : kModels) {
    ASSERT_OK_AND_ASSIGN(ModelConfig released, LoadModelConfig(Folder(model)));
    ASSERT_OK_AND_ASSIGN(std::string text,
                         ReadSmallFile(Folder(model) / "config.transformers5.json", 1 << 20));
    ASSERT_OK_AND_ASSIGN(ModelConfig five, ParseModelConfig(text, model));
    EXPECT_EQ(ToHfJson(five), ToHfJson(released)) << model;
  }
}

TEST(ModelConfigTest, DraftHeadsAreThoseThatTheFileClaims) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig with, LoadModelConfig(Folder("qwen3_5")));
  EXPECT_EQ(with.num_mtp_layers, 1);
  ASSERT_OK_AND_ASSIGN(const ModelConfig without, LoadModelConfig(Folder("qwen3_next")));
  EXPECT_EQ(without.num_mtp_layers, 0);
  for (const char* name : {"qwen3-next-80b-a3b", "qwen3.5-0.8b"}) {
    ASSERT_OK_AND_ASSIGN(const ModelConfig published, PublishedConfig(name));
    EXPECT_EQ(published.num_mtp_layers, 1) << name;
    ASSERT_OK_AND_ASSIGN(const ModelConfig again, ParseModelConfig(ToHfJson(published), name));
    EXPECT_EQ(again.num_mtp_layers, 1) << name;
  }
}

TEST(ModelConfigTest, WritesWhatItReads) {
  for (const char* model : kModels) {
    ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder(model)));
    ASSERT_OK_AND_ASSIGN(ModelConfig again, ParseModelConfig(ToHfJson(config), model));
    EXPECT_EQ(ToHfJson(again), ToHfJson(config)) << model;
    EXPECT_EQ(again.layer_types, config.layer_types);
    EXPECT_EQ(again.sliding_window, config.sliding_window);
    EXPECT_EQ(again.num_labels, config.num_labels);
  }
}

TEST(ModelConfigTest, ReadsQwen3) {
  ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder("qwen3")));
  EXPECT_EQ(config.family, ModelFamily::kQwen3);
  EXPECT_EQ(config.head_dim, 32);  // not hidden / heads = 16
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.dtype, DType::kBF16);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(491));
  EXPECT_EQ(config.sliding_window, 0);
}

TEST(ModelConfigTest, SlidingWindowCountsOnlyWhenUsed) {
  ASSERT_OK_AND_ASSIGN(ModelConfig off,
                       LoadModelConfig(Folder("qwen2_tied")));  // has sliding_window 1024
  EXPECT_EQ(off.sliding_window, 0);
  ASSERT_OK_AND_ASSIGN(ModelConfig on, LoadModelConfig(Folder("qwen2_sliding_window")));
  EXPECT_EQ(on.sliding_window, 8);
  EXPECT_THAT(on.layer_types, ElementsAre(LayerType::kFullAttention, LayerType::kSlidingAttention,
                                          LayerType::kSlidingAttention));
  on.layer_types = {LayerType::kSlidingAttention, LayerType::kFullAttention,
                    LayerType::kSlidingAttention};
  ASSERT_OK_AND_ASSIGN(ModelConfig pattern, ParseModelConfig(ToHfJson(on), "t"));
  EXPECT_EQ(pattern.layer_types, on.layer_types);
}

TEST(ModelConfigTest, ReadsYarn) {
  ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder("qwen2_yarn")));
  EXPECT_EQ(config.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config.rope.yarn_factor, 4.0);
  EXPECT_EQ(config.rope.yarn_original_positions, 32);
  EXPECT_DOUBLE_EQ(config.rope.yarn_attention_factor, 0.1 * std::log(4.0) + 1.0);
}

TEST(ModelConfigTest, ReadsClassifiers) {
  ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder("qwen2_seqcls")));
  EXPECT_EQ(config.head, ModelHead::kSequenceClassification);
  EXPECT_EQ(config.num_labels, 3);
  EXPECT_EQ(config.pad_token_id, 489);
}

TEST(ModelConfigTest, ReadsQwen1) {
  ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder("qwen1")));
  EXPECT_EQ(config.family, ModelFamily::kQwen);
  EXPECT_EQ(config.intermediate_size, 112);  // half of what the file says
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.trained_positions, 32);
  EXPECT_TRUE(config.rope.dynamic_ntk && config.log_n_attention && config.qkv_bias);
  EXPECT_EQ(ToHfJson(*ParseModelConfig(ToHfJson(config), "t")), ToHfJson(config));
  ASSERT_OK_AND_ASSIGN(ModelConfig large, LoadModelConfig(Folder("qwen1_72b")));
  EXPECT_FALSE(large.rope.dynamic_ntk || large.log_n_attention);
  EXPECT_EQ(large.rope.theta, 1e6);
  EXPECT_EQ(ToHfJson(*ParseModelConfig(ToHfJson(large), "t")), ToHfJson(large));
}

TEST(ModelConfigTest, ReadsExperts) {
  ASSERT_OK_AND_ASSIGN(ModelConfig two, LoadModelConfig(Folder("qwen2_moe")));
  EXPECT_EQ(two.moe.num_experts, 8);
  EXPECT_EQ(two.moe.experts_per_token, 3);
  EXPECT_EQ(two.moe.expert_size, 40);
  EXPECT_EQ(two.moe.shared_expert_size, 88);
  EXPECT_FALSE(two.moe.normalize_weights);
  EXPECT_TRUE(two.IsSparse(0) && two.IsSparse(1));
  ASSERT_OK_AND_ASSIGN(ModelConfig three, LoadModelConfig(Folder("qwen3_moe")));
  EXPECT_TRUE(three.moe.normalize_weights);
  EXPECT_EQ(three.moe.shared_expert_size, 0);
  three.moe.sparse_step = 2;
  EXPECT_FALSE(three.IsSparse(0));
  EXPECT_TRUE(three.IsSparse(1));
  three.moe.dense_layers = {1};
  EXPECT_FALSE(three.IsSparse(1));
}

TEST(ModelConfigTest, ReadsHybrids) {
  for (const char* model : {"qwen3_next", "qwen3_5", "qwen3_5_moe"}) {
    ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(Folder(model)));
    EXPECT_THAT(config.layer_types,
                ElementsAre(LayerType::kLinearAttention, LayerType::kLinearAttention,
                            LayerType::kLinearAttention, LayerType::kFullAttention));
    EXPECT_EQ(config.delta_net.num_value_heads, 4);
    EXPECT_EQ(config.delta_net.conv_width(), 128);
    EXPECT_EQ(config.rotary_dim(), config.head_dim / 4);
    EXPECT_EQ(config.rope.theta, 1e7);
    EXPECT_TRUE(config.attention_gate && config.zero_centered_norms && config.qk_norm) << model;
    EXPECT_EQ(config.moe.num_experts, std::string(model) == "qwen3_5" ? 0 : 6);
    EXPECT_THAT(config.eos_token_ids, ElementsAre(491));
    EXPECT_EQ(config.dtype, DType::kBF16);
  }
}

TEST(ModelConfigTest, ReadsLlama) {
  const char* text = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
      "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 500000.0,
      "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                       "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})";
  ASSERT_OK_AND_ASSIGN(ModelConfig config, ParseModelConfig(text, "t"));
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_FALSE(config.qkv_bias || config.qk_norm);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config.rope.llama3_original_positions, 8192);
  EXPECT_EQ(ToHfJson(*ParseModelConfig(ToHfJson(config), "t")), ToHfJson(config));
}

TEST(PublishedConfigTest, EveryNameIsAValidModelThatItsFileDescribes) {
  for (const std::string& name : PublishedModelNames()) {
    ASSERT_OK_AND_ASSIGN(ModelConfig config, PublishedConfig(name));
    ASSERT_OK_AND_ASSIGN(ModelConfig again, ParseModelConfig(ToHfJson(config), name));
    EXPECT_EQ(ToHfJson(again), ToHfJson(config)) << name;
    EXPECT_EQ(again.layer_types, config.layer_types) << name;
  }
  EXPECT_THAT(PublishedConfig("qwen9"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("qwen3-0.6b")));
  ASSERT_OK_AND_ASSIGN(ModelConfig config, PublishedConfig("Qwen3-0.6B"));
  EXPECT_EQ(config.hidden_size, 1024);
}

// The config of qwen3 with one key changed; `value` is JSON, "" removes the key.
absl::Status With(const char* key, const char* value) {
  absl::StatusOr<Json> json = ReadJsonFile(Folder("qwen3") / "config.json");
  if (std::string(value).empty()) {
    json->erase(key);
  } else {
    (*json)[key] = Json::parse(value);
  }
  return ParseModelConfig(json->dump(), "config.json").status();
}

TEST(ModelConfigTest, RefusesWithTheKeyByName) {
  const std::tuple<const char*, const char*, absl::StatusCode> kCases[] = {
      {"model_type", "\"gpt2\"", kUnimplemented},
      {"model_type", "7", kInvalid},
      {"model_type", "", kInvalid},
      {"architectures", "[\"Qwen3ForTokenClassification\"]", kUnimplemented},
      {"hidden_act", "\"gelu\"", kUnimplemented},
      {"quantization_config", "{\"bits\": 4}", kUnimplemented},
      {"quantization_config", "{\"quant_method\": \"bitsandbytes\"}", kUnimplemented},
      {"partial_rotary_factor", "0", kInvalid},
      {"partial_rotary_factor", "0.01", kInvalid},
      {"torch_dtype", "\"int8\"", kUnimplemented},
      {"rope_scaling", "{\"rope_type\": \"longrope\"}", kUnimplemented},
      {"rope_scaling", "{\"type\": \"yarn\"}", kInvalid},
      {"rope_scaling", "[]", kInvalid},
      {"layer_types", "[\"full_attention\"]", kInvalid},
      {"layer_types", "[\"linear_attention\", \"full_attention\", \"full_attention\"]",
       kUnimplemented},
      {"vocab_size", "", kInvalid},
      {"vocab_size", "0", kInvalid},
      {"vocab_size", "\"512\"", kInvalid},
      {"vocab_size", "512.5", kInvalid},
      {"hidden_size", "-64", kInvalid},
      {"num_hidden_layers", "99999999999", kInvalid},
      {"num_key_value_heads", "3", kInvalid},
      {"head_dim", "33", kInvalid},
      {"rms_norm_eps", "0", kInvalid},
      {"rope_theta", "-1", kInvalid},
      {"eos_token_id", "512", kInvalid},
      {"eos_token_id", "[1, \"a\"]", kInvalid},
      {"bos_token_id", "1.5", kInvalid},
      {"tie_word_embeddings", "\"yes\"", kInvalid},
  };
  for (const auto& [key, value, code] : kCases)
    EXPECT_THAT(With(key, value), StatusIs(code, AllOf(HasSubstr("config.json"), HasSubstr(key))))
        << key << " = " << value;
  EXPECT_THAT(With("model_type", "\"gpt2\""),
              StatusIs(kUnimplemented, HasSubstr("supported: qwen, qwen2, qwen2_moe, qwen3")));
}

TEST(ModelConfigTest, RefusesWhatIsNotAConfig) {
  for (const char* text :
       {"", "{", "[]", "null", "{\"model_type\":\"qwen3\",\"model_type\":\"qwen2\"}", "\xff"})
    EXPECT_THAT(ParseModelConfig(text, "config.json"), StatusIs(kInvalid, HasSubstr("config.json")))
        << text;
  EXPECT_THAT(ParseModelConfig(std::string(100000, '['), "config.json"),
              StatusIs(kInvalid, HasSubstr("nested deeper")));
  EXPECT_THAT(LoadModelConfig("/nonexistent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("config.json")));
}

TEST(GenerationConfigTest, ReadsAndWrites) {
  ASSERT_OK_AND_ASSIGN(GenerationConfig config, LoadGenerationConfig(Folder("qwen3")));
  EXPECT_THAT(config.eos_token_ids, ElementsAre(491, 489));
  EXPECT_EQ(config.top_k, 20);
  EXPECT_EQ(config.top_p, 0.8);
  EXPECT_EQ(config.do_sample, true);
  ASSERT_OK_AND_ASSIGN(GenerationConfig again, ParseGenerationConfig(ToHfJson(config), "g"));
  EXPECT_EQ(ToHfJson(again), ToHfJson(config));
  ASSERT_OK_AND_ASSIGN(GenerationConfig one,
                       ParseGenerationConfig("{\"eos_token_id\": 3, \"temperature\": 0}", "g"));
  EXPECT_THAT(one.eos_token_ids, ElementsAre(3));
  EXPECT_EQ(one.temperature, 0.0);
}

TEST(GenerationConfigTest, RefusesOutOfRange) {
  for (const char* text :
       {"{\"top_p\": 0}", "{\"top_p\": 1.1}", "{\"top_k\": -1}", "{\"temperature\": -0.1}",
        "{\"eos_token_id\": -1}", "{\"repetition_penalty\": 0}", "{\"do_sample\": 1}"})
    EXPECT_THAT(ParseGenerationConfig(text, "generation_config.json"),
                StatusIs(kInvalid, HasSubstr("generation_config.json")))
        << text;
}

}  // namespace
}  // namespace oneai::models
