// GGUF metadata and names <-> what Hugging Face folders say.
#include <fstream>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_layout.h"
#include "models/gguf/gguf_names.h"
#include "models/gguf/gguf_source.h"
#include "models/gguf/gguf_tokenizer.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::oneai::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GgufNamesTest, GoBothWays) {
  const std::pair<const char*, const char*> kNames[] = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"output.weight", "lm_head.weight"},
      {"blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias"},
      {"blk.12.attn_k_norm.weight", "model.layers.12.self_attn.k_norm.weight"},
      {"blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"},
      {"blk.3.ffn_gate_inp.weight", "model.layers.3.mlp.gate.weight"},
      {"blk.3.ffn_down_shexp.weight", "model.layers.3.mlp.shared_expert.down_proj.weight"}};
  for (const auto& [gguf, hf] : kNames) {
    ASSERT_TRUE(ToHfName(gguf).has_value()) << gguf;
    EXPECT_EQ(ToHfName(gguf)->name, hf);
    ASSERT_TRUE(ToGgufName(hf).has_value()) << hf;
    EXPECT_EQ(ToGgufName(hf)->name, gguf);
    EXPECT_EQ(ToGgufName(hf)->expert, -1);
  }
  const auto stack = ToHfName("blk.1.ffn_up_exps.weight");
  ASSERT_TRUE(stack.has_value());
  EXPECT_TRUE(stack->experts);
  EXPECT_EQ(stack->name, "model.layers.1.mlp.experts.*.up_proj.weight");
  const auto expert = ToGgufName("model.layers.1.mlp.experts.17.up_proj.weight");
  ASSERT_TRUE(expert.has_value());
  EXPECT_EQ(expert->name, "blk.1.ffn_up_exps.weight");
  EXPECT_EQ(expert->expert, 17);
  for (const char* bad : {"", "weight", "blk.x.attn_q.weight", "blk.00.attn_q.weight",
                          "blk.1.attn_z.weight", "blk.9999999.attn_q.weight", "blk.1.attn_q"})
    EXPECT_FALSE(ToHfName(bad).has_value()) << bad;
}

TEST(GgufNamesTest, LlamaRowsArePermutedWithinEachHead) {
  // Two heads of 6: transformers' rotate-half order to neighbouring pairs (llama.cpp's permute).
  std::vector<int64_t> stored;
  for (int64_t row = 0; row < 12; ++row) stored.push_back(LlamaStoredRow(row, 6));
  EXPECT_THAT(stored, ElementsAre(0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11));
}

Json TinyConfig(const std::string& model_type) {
  Json config = {
      {"model_type", model_type}, {"num_hidden_layers", 1},   {"max_position_embeddings", 64},
      {"hidden_size", 8},         {"intermediate_size", 16},  {"vocab_size", 300},
      {"num_attention_heads", 2}, {"num_key_value_heads", 1}, {"head_dim", 4},
      {"rms_norm_eps", 1e-6},     {"rope_theta", 1000000.0},  {"tie_word_embeddings", true}};
  if (model_type == "qwen2_moe" || model_type == "qwen3_moe") {
    config["num_experts"] = 3;
    config["num_experts_per_tok"] = 2;
    config["moe_intermediate_size"] = 4;
    config["norm_topk_prob"] = model_type == "qwen3_moe";
    if (model_type == "qwen2_moe") config["shared_expert_intermediate_size"] = 12;
  }
  return config;
}

// A file with the metadata of `config`, a token for every row, and `tensors` filled with 0, 1, 2
// ...
std::shared_ptr<const GgufFile> WriteFile(const std::filesystem::path& path, const Json& config,
                                          std::vector<GgufTensorSpec> tensors) {
  GgufMetadata metadata;
  metadata.PutText("general.architecture",
                   *GgufArchitecture(config["model_type"].get<std::string>()));
  EXPECT_OK(PutGgufConfig(config, "config.json", 0, metadata));
  tensors.insert(tensors.begin(), {"token_embd.weight", {300, 8}, BlockType::kF32});
  const auto writer = GgufWriter::Create(path, metadata, tensors);
  EXPECT_OK(writer);
  for (const GgufTensorSpec& tensor : tensors) {
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 0.f);
    EXPECT_OK((*writer)->Append(
        tensor.name,
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()), values.size() * 4)));
  }
  EXPECT_OK((*writer)->Commit());
  const auto file = GgufFile::Open(path);
  EXPECT_OK(file);
  return *file;
}

TEST(GgufConfigTest, EveryArchitectureGoesThereAndBack) {
  const TempDir folder;
  for (const char* type : {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "llama"}) {
    const Json config = TinyConfig(type);
    const auto file = WriteFile(folder.path() / absl::StrCat(type, ".gguf"), config, {});
    ASSERT_OK_AND_ASSIGN(const Json back, ConfigFromGguf(*file));
    for (const auto& [key, value] : config.items())
      EXPECT_EQ(back[key], value) << type << " " << key;
  }
}

TEST(GgufConfigTest, YarnGoesThereAndBack) {
  const TempDir folder;
  Json config = TinyConfig("qwen2");
  config["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32}};
  const auto file = WriteFile(folder.path() / "m.gguf", config, {});
  ASSERT_OK_AND_ASSIGN(const Json back, ConfigFromGguf(*file));
  EXPECT_EQ(back["rope_scaling"]["type"], "yarn");
  EXPECT_EQ(back["rope_scaling"]["factor"], 4.0);
  EXPECT_EQ(back["rope_scaling"]["original_max_position_embeddings"], 32);
}

TEST(GgufConfigTest, RefusesWhatGgufCannotSay) {
  auto refusal = [](const char* key, Json value) {
    Json config = TinyConfig(key == std::string("norm_topk_prob") ? "qwen3_moe" : "qwen3");
    config[key] = std::move(value);
    GgufMetadata metadata;
    return PutGgufConfig(config, "config.json", 0, metadata);
  };
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  EXPECT_THAT(refusal("use_sliding_window", true), StatusIs(kUnimplemented, HasSubstr("window")));
  EXPECT_THAT(refusal("attention_bias", true),
              StatusIs(kUnimplemented, HasSubstr("attention_bias")));
  EXPECT_THAT(refusal("model_type", "qwen"), StatusIs(kUnimplemented, HasSubstr("'qwen'")));
  EXPECT_THAT(refusal("norm_topk_prob", false), StatusIs(kUnimplemented, HasSubstr("norm_topk")));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "llama3"}}),
              StatusIs(kUnimplemented, HasSubstr("llama3")));
  EXPECT_THAT(refusal("architectures", {"Qwen3ForSequenceClassification"}),
              StatusIs(kUnimplemented, HasSubstr("head")));
}

TEST(GgufSourceTest, TakesExpertsApart) {
  const TempDir folder;
  const auto file = WriteFile(folder.path() / "m.gguf", TinyConfig("qwen2_moe"),
                              {{"blk.0.ffn_up_exps.weight", {3, 4, 8}, BlockType::kF32},
                               {"blk.0.ffn_gate_inp_shexp.weight", {8}, BlockType::kF32}});
  ASSERT_OK_AND_ASSIGN(const auto source, OpenGgufSource(file));
  const WeightInfo* info = source->Find("model.layers.0.mlp.experts.2.up_proj.weight");
  ASSERT_NE(info, nullptr);
  EXPECT_THAT(info->shape, ElementsAre(4, 8));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> rows, source->FloatRows(info->name, 1, 2));
  ASSERT_EQ(rows.size(), 16u);
  EXPECT_EQ(rows[0], 2 * 32 + 8);
  const WeightInfo* gate = source->Find("model.layers.0.mlp.shared_expert_gate.weight");
  ASSERT_NE(gate, nullptr);
  EXPECT_THAT(gate->shape, ElementsAre(1, 8));
  EXPECT_THAT(source->Dense("nope"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'nope'")));
  EXPECT_THAT(source->DenseRows(info->name, 3, 2),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("4 rows")));
}

TEST(GgufSourceTest, PutsLlamaRowsBackInOrder) {
  const TempDir folder;
  const auto file = WriteFile(folder.path() / "m.gguf", TinyConfig("llama"),
                              {{"blk.0.attn_q.weight", {8, 8}, BlockType::kF32},
                               {"blk.0.attn_v.weight", {4, 8}, BlockType::kF32}});
  ASSERT_OK_AND_ASSIGN(const auto source, OpenGgufSource(file));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> q,
                       source->FloatRows("model.layers.0.self_attn.q_proj.weight", 0, 8));
  std::vector<float> first_column;
  for (int row = 0; row < 8; ++row) first_column.push_back(q[row * 8] / 8);
  EXPECT_THAT(first_column, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> v,
                       source->FloatRows("model.layers.0.self_attn.v_proj.weight", 1, 1));
  EXPECT_EQ(v[0], 8);
}

TEST(GgufSourceTest, RefusesTensorsOfNoPart) {
  const TempDir folder;
  const auto file = WriteFile(folder.path() / "m.gguf", TinyConfig("qwen3"),
                              {{"blk.0.ssm_a.weight", {8}, BlockType::kF32}});
  EXPECT_THAT(OpenGgufSource(file),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'blk.0.ssm_a.weight': belongs to no part")));
  const auto stack = WriteFile(folder.path() / "n.gguf", TinyConfig("qwen3_moe"),
                               {{"blk.0.ffn_up_exps.weight", {5, 4, 8}, BlockType::kF32}});
  EXPECT_THAT(OpenGgufSource(stack),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("holds 5 experts")));
}

TEST(GgufTokenizerTest, QwensTokenizerGoesThereAndBack) {
  ASSERT_OK_AND_ASSIGN(const TokenizerSpec spec,
                       LoadTokenizerSpec(testing::DataDir() / "tokenizer"));
  ASSERT_OK_AND_ASSIGN(TokenizerConfig config,
                       LoadTokenizerConfig(testing::DataDir() / "tokenizer"));
  config.chat_template = "{{ messages }}";
  Json model = TinyConfig("qwen2");
  TokenId last = 0;
  for (const auto& [text, id] : spec.vocab) last = std::max(last, id);
  for (const AddedToken& token : spec.added_tokens) last = std::max(last, token.id);
  model["vocab_size"] = last + 10;
  GgufMetadata metadata;
  ASSERT_OK(PutGgufTokenizer(spec, config, model, metadata));
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(const auto writer,
                       GgufWriter::Create(folder.path() / "t.gguf", metadata, {}));
  ASSERT_OK(writer->Commit());
  ASSERT_OK_AND_ASSIGN(const auto file, GgufFile::Open(folder.path() / "t.gguf"));
  ASSERT_OK_AND_ASSIGN(GgufTokenizer back, TokenizerFromGguf(file->header, "t.gguf"));
  EXPECT_EQ(back.spec.vocab.size(), spec.vocab.size());
  EXPECT_EQ(back.spec.merges, spec.merges);
  EXPECT_EQ(back.spec.pattern, spec.pattern);
  EXPECT_EQ(back.config.eos_token, config.eos_token);
  EXPECT_EQ(back.config.chat_template, config.chat_template);
  ASSERT_OK_AND_ASSIGN(const auto first, Tokenizer::Create(spec));
  ASSERT_OK_AND_ASSIGN(const auto second, Tokenizer::Create(std::move(back.spec)));
  for (const char* text : {"Hello, world! 12345 don't",
                           "<|im_start|>user\nÄpfel 中文 🦙<|im_end|>", "   \n\n\t x = y;"})
    EXPECT_EQ(first->Encode(text, SpecialTokens::kParse),
              second->Encode(text, SpecialTokens::kParse));
}

TEST(GgufTokenizerTest, LlamasTokenizerTakesWholeTokensFirst) {
  TokenizerSpec spec;
  spec.vocab = {{"a", 0}, {"b", 1}, {"ab", 2}};
  spec.merges = {{"a", "b"}};
  spec.pattern = SplitPattern::kLlama3;
  spec.nfc = false;
  spec.ignore_merges = true;
  GgufMetadata metadata;
  ASSERT_OK(PutGgufTokenizer(spec, {}, TinyConfig("llama"), metadata));
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(const auto writer,
                       GgufWriter::Create(folder.path() / "t.gguf", metadata, {}));
  ASSERT_OK(writer->Commit());
  ASSERT_OK_AND_ASSIGN(const auto file, GgufFile::Open(folder.path() / "t.gguf"));
  ASSERT_OK_AND_ASSIGN(const auto pre, file->header.Text("tokenizer.ggml.pre"));
  EXPECT_EQ(pre, "llama-bpe");
  ASSERT_OK_AND_ASSIGN(const GgufTokenizer back, TokenizerFromGguf(file->header, "t.gguf"));
  EXPECT_EQ(back.spec.pattern, SplitPattern::kLlama3);
  EXPECT_TRUE(back.spec.ignore_merges);
  EXPECT_FALSE(back.spec.nfc);
}

TEST(GgufTokenizerTest, RefusesOtherKinds) {
  auto read = [](const std::function<void(GgufMetadata&)>& put) {
    const TempDir folder;
    GgufMetadata metadata;
    put(metadata);
    const auto writer = GgufWriter::Create(folder.path() / "t.gguf", metadata, {});
    EXPECT_OK(writer);
    EXPECT_OK((*writer)->Commit());
    const auto file = GgufFile::Open(folder.path() / "t.gguf");
    EXPECT_OK(file);
    return TokenizerFromGguf((*file)->header, "t.gguf").status();
  };
  const std::vector<std::string> tokens = {"a", "b"};
  EXPECT_THAT(read([](GgufMetadata& m) { m.PutU32("n", 1); }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no tokenizer")));
  EXPECT_THAT(read([](GgufMetadata& m) { m.PutText("tokenizer.ggml.model", "llama"); }),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'llama'")));
  EXPECT_THAT(read([](GgufMetadata& m) {
                m.PutText("tokenizer.ggml.model", "gpt2");
                m.PutText("tokenizer.ggml.pre", "tekken");
              }),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'tekken'")));
  EXPECT_THAT(read([&](GgufMetadata& m) {
                m.PutText("tokenizer.ggml.model", "gpt2");
                m.PutText("tokenizer.ggml.pre", "qwen2");
                m.PutTexts("tokenizer.ggml.tokens", tokens);
                m.PutI32s("tokenizer.ggml.token_type", std::vector<int32_t>{1});
              }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 entries for 2 tokens")));
  EXPECT_THAT(read([&](GgufMetadata& m) {
                m.PutText("tokenizer.ggml.model", "gpt2");
                m.PutText("tokenizer.ggml.pre", "qwen2");
                m.PutTexts("tokenizer.ggml.tokens", tokens);
                m.PutTexts("tokenizer.ggml.merges", std::vector<std::string>{"ab"});
              }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("merges[0]")));
}

}  // namespace
}  // namespace oneai::models
