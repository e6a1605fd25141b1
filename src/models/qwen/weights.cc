#include "models/qwen/weights.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace oneai::models::qwen {
namespace {

constexpr size_t kReportedTensorsMax = 3;
constexpr absl::string_view kModelPrefix = "model.";

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 ||
         dtype == DType::kF64;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Collects complaints; one error tells the first few.
class Complaints {
 public:
  void Add(std::string text) {
    if (texts_.size() < kReportedTensorsMax) texts_.push_back(std::move(text));
    ++count_;
  }
  absl::Status ToStatus(absl::string_view source) const {
    if (count_ == 0) return absl::OkStatus();
    const size_t hidden = count_ - texts_.size();
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": the weights do not fit config.json: ", absl::StrJoin(texts_, "; "),
                     hidden > 0 ? absl::StrCat("; and ", hidden, " more") : ""));
  }

 private:
  std::vector<std::string> texts_;
  size_t count_ = 0;
};

// Bare models are stored without the "model." prefix.
const TensorView* FindStored(const Checkpoint& checkpoint, absl::string_view name, bool bare) {
  if (bare) absl::ConsumePrefix(&name, kModelPrefix);
  return checkpoint.Find(name);
}

void AddBlock(const ModelConfig& c, int64_t layer, std::vector<WeightSpec>& table) {
  const std::string block = absl::StrCat(kModelPrefix, "layers.", layer, ".");
  const std::string attn = block + "self_attn.", mlp = block + "mlp.";
  const int64_t q_dim = c.num_heads * c.head_dim, kv_dim = c.num_kv_heads * c.head_dim;
  auto linear = [&](const std::string& name, int64_t out, int64_t in, bool bias) {
    table.push_back({name + ".weight", {out, in}, Init::kNormal});
    if (bias) table.push_back({name + ".bias", {out}, Init::kZeros});
  };
  linear(attn + "q_proj", q_dim, c.hidden_size, c.qkv_bias);
  linear(attn + "k_proj", kv_dim, c.hidden_size, c.qkv_bias);
  linear(attn + "v_proj", kv_dim, c.hidden_size, c.qkv_bias);
  linear(attn + "o_proj", c.hidden_size, q_dim, c.output_bias);
  if (c.qk_norm) {
    table.push_back({attn + "q_norm.weight", {c.head_dim}, Init::kOnes});
    table.push_back({attn + "k_norm.weight", {c.head_dim}, Init::kOnes});
  }
  linear(mlp + "gate_proj", c.intermediate_size, c.hidden_size, false);
  linear(mlp + "up_proj", c.intermediate_size, c.hidden_size, false);
  linear(mlp + "down_proj", c.hidden_size, c.intermediate_size, false);
  table.push_back({block + "input_layernorm.weight", {c.hidden_size}, Init::kOnes});
  table.push_back({block + "post_attention_layernorm.weight", {c.hidden_size}, Init::kOnes});
}

}  // namespace

std::vector<WeightSpec> WeightTable(const ModelConfig& config) {
  std::vector<WeightSpec> table;
  table.push_back(
      {std::string(kEmbedding), {config.vocab_size, config.hidden_size}, Init::kNormal});
  for (int64_t layer = 0; layer < config.num_layers; ++layer) AddBlock(config, layer, table);
  table.push_back({std::string(kFinalNorm), {config.hidden_size}, Init::kOnes});
  if (config.head == ModelHead::kSequenceClassification) {
    table.push_back({std::string(kScore), {config.num_labels, config.hidden_size}, Init::kNormal});
  } else if (!config.tie_word_embeddings) {
    table.push_back({std::string(kLmHead), {config.vocab_size, config.hidden_size}, Init::kNormal});
  }
  return table;
}

absl::string_view HeadName(const ModelConfig& config) {
  if (config.head == ModelHead::kSequenceClassification) return kScore;
  return config.tie_word_embeddings ? kEmbedding : kLmHead;
}

absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const Checkpoint& checkpoint) {
  const bool bare = checkpoint.Find(kEmbedding) == nullptr &&
                    FindStored(checkpoint, kEmbedding, /*bare=*/true) != nullptr;
  StoredWeights stored;
  absl::flat_hash_map<std::string, bool> used;
  Complaints complaints;
  for (const WeightSpec& spec : WeightTable(config)) {
    const TensorView* tensor = FindStored(checkpoint, spec.name, bare);
    if (tensor == nullptr) {
      complaints.Add(absl::StrCat("tensor '", spec.name, "' is missing"));
      continue;
    }
    used[tensor->name] = true;
    if (tensor->shape != spec.shape) {
      complaints.Add(absl::StrCat("tensor '", tensor->name, "' has shape ",
                                  ShapeText(tensor->shape), " where ", ShapeText(spec.shape),
                                  " is expected"));
    } else if (!IsFloat(tensor->dtype)) {
      complaints.Add(absl::StrCat("tensor '", tensor->name, "' is ", DTypeName(tensor->dtype),
                                  " where a floating-point type is expected"));
    } else {
      stored.emplace(spec.name, *tensor);
    }
  }
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (used.contains(tensor.name) || absl::EndsWith(tensor.name, ".rotary_emb.inv_freq")) continue;
    const auto embedding = stored.find(kEmbedding);
    if (tensor.name != kLmHead || HeadName(config) != kEmbedding || embedding == stored.end()) {
      complaints.Add(absl::StrCat("tensor '", tensor.name, "' belongs to no part of this model"));
    } else if (tensor.dtype != embedding->second.dtype || tensor.shape != embedding->second.shape ||
               !std::ranges::equal(tensor.data, embedding->second.data)) {
      complaints.Add(
          "tensor 'lm_head.weight' differs from the embedding although tie_word_embeddings is "
          "true");
    }
  }
  RETURN_IF_ERROR(complaints.ToStatus(checkpoint.source()));
  return stored;
}

}  // namespace oneai::models::qwen
