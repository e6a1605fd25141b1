#include "models/config/published.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace oneai::models {
namespace {

struct Dense {
  const char* name;
  ModelFamily family;
  int64_t hidden, inner, layers, heads, kv_heads, head_dim, vocab, positions;
  double theta;
  bool tied;
};

constexpr ModelFamily kQ1 = ModelFamily::kQwen, kQ2 = ModelFamily::kQwen2,
                      kQ2Moe = ModelFamily::kQwen2Moe, kQ3 = ModelFamily::kQwen3,
                      kQ3Moe = ModelFamily::kQwen3Moe, kNext = ModelFamily::kQwen3Next,
                      k35 = ModelFamily::kQwen3_5;

// `inner` of a sparse model is that of its dense layers, which none of these has.
constexpr Dense kShapes[] = {
    {"qwen-1.8b", kQ1, 2048, 5504, 24, 16, 16, 128, 151936, 8192, 1e4, false},
    {"qwen-7b", kQ1, 4096, 11008, 32, 32, 32, 128, 151936, 8192, 1e4, false},
    {"qwen-14b", kQ1, 5120, 13696, 40, 40, 40, 128, 152064, 2048, 1e4, false},
    {"qwen-72b", kQ1, 8192, 24576, 80, 64, 64, 128, 152064, 32768, 1e6, false},
    {"qwen1.5-0.5b", kQ2, 1024, 2816, 24, 16, 16, 64, 151936, 32768, 1e6, true},
    {"qwen1.5-1.8b", kQ2, 2048, 5504, 24, 16, 16, 128, 151936, 32768, 1e6, false},
    {"qwen1.5-4b", kQ2, 2560, 6912, 40, 20, 20, 128, 151936, 32768, 5e6, false},
    {"qwen1.5-7b", kQ2, 4096, 11008, 32, 32, 32, 128, 151936, 32768, 1e6, false},
    {"qwen1.5-14b", kQ2, 5120, 13696, 40, 40, 40, 128, 152064, 32768, 1e6, false},
    {"qwen1.5-32b", kQ2, 5120, 27392, 64, 40, 8, 128, 152064, 32768, 1e6, false},
    {"qwen1.5-72b", kQ2, 8192, 24576, 80, 64, 64, 128, 152064, 32768, 1e6, false},
    {"qwen1.5-110b", kQ2, 8192, 49152, 80, 64, 8, 128, 152064, 32768, 1e6, false},
    {"qwen1.5-moe-a2.7b", kQ2Moe, 2048, 5632, 24, 16, 16, 128, 151936, 8192, 1e6, false},
    {"qwen2-0.5b", kQ2, 896, 4864, 24, 14, 2, 64, 151936, 131072, 1e6, true},
    {"qwen2-1.5b", kQ2, 1536, 8960, 28, 12, 2, 128, 151936, 131072, 1e6, true},
    {"qwen2-7b", kQ2, 3584, 18944, 28, 28, 4, 128, 152064, 131072, 1e6, false},
    {"qwen2-72b", kQ2, 8192, 29568, 80, 64, 8, 128, 152064, 131072, 1e6, false},
    {"qwen2-57b-a14b", kQ2Moe, 3584, 18944, 28, 28, 4, 128, 151936, 131072, 1e6, false},
    {"qwen2.5-0.5b", kQ2, 896, 4864, 24, 14, 2, 64, 151936, 32768, 1e6, true},
    {"qwen2.5-1.5b", kQ2, 1536, 8960, 28, 12, 2, 128, 151936, 131072, 1e6, true},
    {"qwen2.5-3b", kQ2, 2048, 11008, 36, 16, 2, 128, 151936, 32768, 1e6, true},
    {"qwen2.5-7b", kQ2, 3584, 18944, 28, 28, 4, 128, 152064, 131072, 1e6, false},
    {"qwen2.5-14b", kQ2, 5120, 13824, 48, 40, 8, 128, 152064, 131072, 1e6, false},
    {"qwen2.5-32b", kQ2, 5120, 27648, 64, 40, 8, 128, 152064, 131072, 1e6, false},
    {"qwen2.5-72b", kQ2, 8192, 29568, 80, 64, 8, 128, 152064, 131072, 1e6, false},
    {"qwq-32b", kQ2, 5120, 27648, 64, 40, 8, 128, 152064, 40960, 1e6, false},
    {"qwen3-0.6b", kQ3, 1024, 3072, 28, 16, 8, 128, 151936, 40960, 1e6, true},
    {"qwen3-1.7b", kQ3, 2048, 6144, 28, 16, 8, 128, 151936, 40960, 1e6, true},
    {"qwen3-4b", kQ3, 2560, 9728, 36, 32, 8, 128, 151936, 40960, 1e6, true},
    {"qwen3-8b", kQ3, 4096, 12288, 36, 32, 8, 128, 151936, 40960, 1e6, false},
    {"qwen3-14b", kQ3, 5120, 17408, 40, 40, 8, 128, 151936, 40960, 1e6, false},
    {"qwen3-32b", kQ3, 5120, 25600, 64, 64, 8, 128, 151936, 40960, 1e6, false},
    {"qwen3-30b-a3b", kQ3Moe, 2048, 6144, 48, 32, 4, 128, 151936, 40960, 1e6, false},
    {"qwen3-235b-a22b", kQ3Moe, 4096, 12288, 94, 64, 4, 128, 151936, 40960, 1e6, false},
    {"qwen3-next-80b-a3b", kNext, 2048, 5120, 48, 16, 2, 256, 151936, 262144, 1e7, false},
    {"qwen3.5-0.8b", k35, 1024, 3584, 24, 8, 2, 256, 248320, 262144, 1e7, true},
    {"qwen3.5-2b", k35, 2048, 6144, 24, 8, 2, 256, 248320, 262144, 1e7, true},
    {"qwen3.5-4b", k35, 2560, 9216, 32, 16, 4, 256, 248320, 262144, 1e7, true},
    {"qwen3.5-9b", k35, 4096, 12288, 32, 16, 4, 256, 248320, 262144, 1e7, false},
    {"qwen3.5-27b", k35, 5120, 17408, 64, 24, 4, 256, 248320, 262144, 1e7, false},
    {"qwen3-embedding-0.6b", kQ3, 1024, 3072, 28, 16, 8, 128, 151669, 32768, 1e6, true},
    {"qwen3-embedding-4b", kQ3, 2560, 9728, 36, 32, 8, 128, 151665, 40960, 1e6, true},
    {"qwen3-embedding-8b", kQ3, 4096, 12288, 36, 32, 8, 128, 151665, 40960, 1e6, false},
    {"qwen3-reranker-0.6b", kQ3, 1024, 3072, 28, 16, 8, 128, 151669, 40960, 1e6, true},
};

struct Sparse {
  const char* name;
  int64_t experts, chosen, expert_size, shared_size;
  bool normalize;
};

constexpr Sparse kSparse[] = {
    {"qwen1.5-moe-a2.7b", 60, 4, 1408, 5632, false}, {"qwen2-57b-a14b", 64, 8, 2560, 20480, false},
    {"qwen3-30b-a3b", 128, 8, 768, 0, true},         {"qwen3-235b-a22b", 128, 8, 1536, 0, true},
    {"qwen3-next-80b-a3b", 512, 10, 512, 512, true},
};

// Value heads of linear attention; all have 16 key heads.
constexpr struct {
  const char* name;
  int64_t value_heads;
} kHybrids[] = {{"qwen3-next-80b-a3b", 32}, {"qwen3.5-0.8b", 16}, {"qwen3.5-2b", 16},
                {"qwen3.5-4b", 32},         {"qwen3.5-9b", 32},   {"qwen3.5-27b", 48}};

// What is the same for all hybrids, which come with a head that predicts one more token.
void SetHybridTraits(const Dense& shape, ModelConfig& config) {
  config.qk_norm = config.attention_gate = config.zero_centered_norms = true;
  config.rope.partial_factor = 0.25;
  config.num_mtp_layers = 1;
  config.delta_net = {.num_key_heads = 16, .key_dim = 128, .value_dim = 128, .conv_kernel = 4};
  for (const auto& hybrid : kHybrids) {
    if (absl::string_view(hybrid.name) == shape.name)
      config.delta_net.num_value_heads = hybrid.value_heads;
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if ((i + 1) % 4 != 0) config.layer_types[i] = LayerType::kLinearAttention;
  }
}

// What is the same for all models of a family.
void SetFamilyTraits(const Dense& shape, ModelConfig& config) {
  config.qkv_bias = shape.family == kQ1 || shape.family == kQ2 || shape.family == kQ2Moe;
  config.qk_norm = shape.family == kQ3 || shape.family == kQ3Moe;
  if (shape.family == kQ1) {
    config.trained_positions = shape.positions;
    // The largest was trained with long contexts and needs neither.
    config.rope.dynamic_ntk = config.log_n_attention = shape.theta == 1e4;
  }
  if (shape.family == kNext || shape.family == k35) SetHybridTraits(shape, config);
}

ModelConfig Build(const Dense& shape) {
  ModelConfig config;
  config.family = shape.family;
  config.vocab_size = shape.vocab;
  config.hidden_size = shape.hidden;
  config.intermediate_size = shape.inner;
  config.num_layers = shape.layers;
  config.num_heads = shape.heads;
  config.num_kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.max_positions = shape.positions;
  config.rope.theta = shape.theta;
  config.tie_word_embeddings = shape.tied;
  config.dtype = DType::kBF16;
  config.layer_types.assign(shape.layers, LayerType::kFullAttention);
  SetFamilyTraits(shape, config);
  for (const Sparse& sparse : kSparse) {
    if (absl::string_view(sparse.name) != shape.name) continue;
    config.moe.num_experts = sparse.experts;
    config.moe.experts_per_token = sparse.chosen;
    config.moe.expert_size = sparse.expert_size;
    config.moe.shared_expert_size = sparse.shared_size;
    config.moe.normalize_weights = sparse.normalize;
  }
  return config;
}

}  // namespace

std::vector<std::string> PublishedModelNames() {
  std::vector<std::string> names;
  for (const Dense& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

absl::StatusOr<ModelConfig> PublishedConfig(absl::string_view name) {
  for (const Dense& shape : kShapes) {
    if (!absl::EqualsIgnoreCase(name, shape.name)) continue;
    ModelConfig config = Build(shape);
    RETURN_IF_ERROR(ValidateModelConfig(config));
    return config;
  }
  return absl::NotFoundError(absl::StrCat("no published model '", name, "'; known are ",
                                          absl::StrJoin(PublishedModelNames(), ", ")));
}

}  // namespace oneai::models
