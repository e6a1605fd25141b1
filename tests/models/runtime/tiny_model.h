// Small models of odd sizes with random weights, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "models/config/model_config.h"
#include "models/qwen/weights.h"
#include "models/safetensors/checkpoint_writer.h"
#include "tests/testing/status_matchers.h"

namespace oneai::testing {

// Nothing here is a multiple of a vector or a tile.
inline models::ModelConfig TinyQwen3() {
  models::ModelConfig config;
  config.family = models::ModelFamily::kQwen3;
  config.vocab_size = 101;
  config.hidden_size = 52;
  config.intermediate_size = 37;
  config.num_layers = 3;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 22;
  config.qk_norm = true;
  config.tie_word_embeddings = true;
  config.layer_types.assign(3, models::LayerType::kFullAttention);
  return config;
}

// Biases, a head of its own, and sliding layers whose window is shorter than the prompts.
inline models::ModelConfig TinyQwen2() {
  models::ModelConfig config;
  config.family = models::ModelFamily::kQwen2;
  config.vocab_size = 97;
  config.hidden_size = 50;
  config.intermediate_size = 41;
  config.num_layers = 3;
  config.num_heads = 5;
  config.num_kv_heads = 1;
  config.head_dim = 10;
  config.qkv_bias = true;
  config.sliding_window = 7;
  config.layer_types = {models::LayerType::kFullAttention, models::LayerType::kSlidingAttention,
                        models::LayerType::kSlidingAttention};
  return config;
}

// Experts, a shared one, and a dense layer between sparse ones.
inline models::ModelConfig TinyMoe() {
  models::ModelConfig config = TinyQwen2();
  config.family = models::ModelFamily::kQwen2Moe;
  config.sliding_window = 0;
  config.layer_types.assign(3, models::LayerType::kFullAttention);
  config.moe.num_experts = 5;
  config.moe.experts_per_token = 2;
  config.moe.expert_size = 23;
  config.moe.shared_expert_size = 19;
  config.moe.dense_layers = {1};
  return config;
}

// Prompts of more than 16 tokens change its angles and its queries.
inline models::ModelConfig TinyQwen1() {
  models::ModelConfig config = TinyQwen2();
  config.family = models::ModelFamily::kQwen;
  config.sliding_window = 0;
  config.layer_types.assign(3, models::LayerType::kFullAttention);
  config.num_kv_heads = config.num_heads;
  config.trained_positions = 16;
  config.rope.dynamic_ntk = config.log_n_attention = true;
  return config;
}

inline models::ModelConfig TinyLlama() {
  models::ModelConfig config = TinyQwen3();
  config.family = models::ModelFamily::kLlama;
  config.qk_norm = false;
  config.rope.scaling = models::RopeScaling::kLlama3;
  config.rope.llama3_factor = 8;
  config.rope.llama3_original_positions = 32;
  return config;
}

// An empty folder of this test's own.
inline std::filesystem::path FreshFolder(const std::string& name) {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string test = std::string(info->test_suite_name()) + "." + info->name();
  for (char& c : test) c = c == '/' ? '_' : c;
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / test / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

// Writes float32 tensors of the given names and shapes with random values.
inline void WriteTensors(const std::filesystem::path& folder,
                         const std::vector<models::TensorSpec>& specs) {
  ASSERT_OK_AND_ASSIGN(auto writer, models::CheckpointWriter::Create(folder, specs));
  std::mt19937 random(20240607);
  std::normal_distribution<float> normal(0.0f, 0.3f);
  for (const models::TensorSpec& spec : specs) {
    ASSERT_OK_AND_ASSIGN(const int64_t bytes, models::TensorBytes(spec));
    std::vector<float> values(static_cast<size_t>(bytes) / sizeof(float));
    for (float& value : values) value = normal(random);
    ASSERT_OK(writer->Append(spec.name,
                             absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                                                 static_cast<size_t>(bytes))));
  }
  ASSERT_OK(writer->Commit());
}

inline std::vector<models::TensorSpec> SpecsOf(const models::ModelConfig& config) {
  std::vector<models::TensorSpec> specs;
  for (const models::qwen::WeightSpec& weight : models::qwen::WeightTable(config)) {
    specs.push_back({weight.name, models::DType::kF32, weight.shape});
  }
  return specs;
}

}  // namespace oneai::testing
