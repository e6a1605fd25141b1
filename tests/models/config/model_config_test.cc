#include "models/config/model_config.h"

#include <cmath>

#include "absl/strings/str_cat.h"
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
constexpr const char* kModels[] = {"qwen2_tied",           "qwen2_untied", "qwen2_yarn",
                                   "qwen2_sliding_window", "qwen2_seqcls", "qwen3"};

std::filesystem::path Folder(absl::string_view model) {
  return testing::DataDir() / (model == "qwen2_seqcls" ? "model_configs" : "golden") /
         std::string(model);
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
      {"model_type", "\"llama\"", kUnimplemented},
      {"model_type", "7", kInvalid},
      {"model_type", "", kInvalid},
      {"architectures", "[\"Qwen3ForTokenClassification\"]", kUnimplemented},
      {"hidden_act", "\"gelu\"", kUnimplemented},
      {"quantization_config", "{\"bits\": 4}", kUnimplemented},
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
  EXPECT_THAT(With("model_type", "\"llama\""),
              StatusIs(kUnimplemented, HasSubstr("supported: qwen2, qwen3")));
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
