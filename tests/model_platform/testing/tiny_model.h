// A model folder that loads, small enough to write in a test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "models/config/model_config.h"
#include "models/qwen/weights.h"
#include "models/safetensors/atomic_file.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/tokenizer/bpe_trainer.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::platform::testing {

// Writes config, weights and tokenizer into `folder`, made if absent, and returns the vocabulary's
// size. Matrix entries run through a fixed pattern of amplitude `scale`; 0 makes every prediction
// uniform.
inline int64_t WriteTinyModel(const std::filesystem::path& folder, float scale) {
  std::filesystem::create_directories(folder);
  const std::string corpus = "to be or not to be that is the question";
  const absl::string_view documents[] = {corpus};
  models::BpeTrainerOptions options;
  options.vocab_size = 264;
  const models::TokenizerSpec spec = *models::TrainBpe(documents, options);
  EXPECT_TRUE(models::SaveTokenizer(spec, models::MakeTokenizerConfig(spec, "", 64), folder).ok());

  models::ModelConfig config;
  config.family = models::ModelFamily::kQwen3;
  config.qk_norm = true;
  config.vocab_size = static_cast<int64_t>(spec.vocab.size());
  for (const models::AddedToken& token : spec.added_tokens) {
    config.vocab_size = std::max<int64_t>(config.vocab_size, token.id + 1);
  }
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 2;
  config.head_dim = 16;
  config.max_positions = 64;
  config.tie_word_embeddings = true;
  config.layer_types.assign(1, models::LayerType::kFullAttention);
  EXPECT_TRUE(models::WriteFileAtomically(folder / "config.json", models::ToHfJson(config)).ok());

  std::vector<models::TensorSpec> specs;
  for (const auto& weight : models::qwen::WeightTable(config)) {
    specs.push_back({weight.name, models::DType::kF32, weight.shape});
  }
  auto writer = *models::CheckpointWriter::Create(folder, specs);
  uint32_t noise = 1;
  for (const models::TensorSpec& tensor : specs) {
    std::vector<float> values(*models::TensorBytes(tensor) / sizeof(float));
    for (float& value : values) {
      noise = noise * 1664525u + 1013904223u;
      const bool is_norm = tensor.shape.size() == 1;
      value = is_norm ? 1.0f : scale * (static_cast<float>(noise >> 16) / 32768.0f - 1.0f);
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    EXPECT_TRUE(
        writer->Append(tensor.name, absl::MakeConstSpan(bytes, values.size() * sizeof(float)))
            .ok());
  }
  EXPECT_TRUE(writer->Commit().ok());
  return config.vocab_size;
}

}  // namespace oneai::platform::testing
