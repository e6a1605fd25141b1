#include "models/qwen/weights.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "models/weights/checkpoint_source.h"

namespace oneai::models::qwen {
namespace {

constexpr size_t kReportedTensorsMax = 3;
constexpr absl::string_view kModelPrefix = "model.";
constexpr absl::string_view kVisionTextPrefix = "model.language_model.";
constexpr absl::string_view kVisionPrefix = "model.visual.";
// A file that has this tensor has a multi-token-prediction head.
constexpr absl::string_view kMtpMark = "mtp.fc.weight";

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

// How names in a file differ from those in the table.
enum class Spelling {
  kPlain,
  kBare,   // "model." is left out
  kVision  // "model.language_model." stands for "model."
};

std::string Spell(absl::string_view name, Spelling spelling) {
  if (spelling == Spelling::kPlain || !absl::ConsumePrefix(&name, kModelPrefix))
    return std::string(name);
  return absl::StrCat(spelling == Spelling::kBare ? "" : kVisionTextPrefix, name);
}

Spelling SpellingOf(const ModelConfig& config, const WeightSource& source) {
  const absl::string_view embedding = EmbeddingName(config);
  for (const Spelling spelling : {Spelling::kPlain, Spelling::kBare, Spelling::kVision}) {
    if (source.Find(Spell(embedding, spelling)) != nullptr) return spelling;
  }
  return Spelling::kPlain;
}

// Buffers of old files, and the vision tower beside a text model.
bool IsPassedOver(absl::string_view name, Spelling spelling) {
  return absl::EndsWith(name, ".rotary_emb.inv_freq") ||
         (spelling == Spelling::kVision && absl::StartsWith(name, kVisionPrefix));
}

absl::StatusOr<bool> SameElements(const WeightSource& source, const WeightInfo& a,
                                  const WeightInfo& b) {
  if (a.shape != b.shape) return false;
  ASSIGN_OR_RETURN(const DenseWeight x, source.Dense(a.name));
  ASSIGN_OR_RETURN(const DenseWeight y, source.Dense(b.name));
  int64_t bytes = DTypeBytes(x.dtype);
  for (const int64_t extent : a.shape) bytes *= extent;
  return x.dtype == y.dtype && std::memcmp(x.data, y.data, static_cast<size_t>(bytes)) == 0;
}

// A layer's table, in the order in which it is computed.
class BlockTable {
 public:
  BlockTable(const ModelConfig& config, std::string block, std::vector<WeightSpec>& table)
      : c_(config),
        block_(std::move(block)),
        norm_(config.zero_centered_norms ? Init::kZeros : Init::kOnes),
        table_(table) {}

  void Add(LayerType type, bool sparse) {
    if (c_.family == ModelFamily::kQwen) {
      AddQwen1();
      return;
    }
    if (type == LayerType::kLinearAttention) {
      AddDeltaNet(block_ + "linear_attn.");
    } else {
      AddAttention(block_ + "self_attn.");
    }
    if (sparse) {
      AddExperts(block_ + "mlp.");
    } else {
      AddMlp(block_ + "mlp.", c_.intermediate_size);
    }
    Put(block_ + "input_layernorm.weight", {c_.hidden_size}, norm_);
    Put(block_ + "post_attention_layernorm.weight", {c_.hidden_size}, norm_);
  }

 private:
  void Put(std::string name, std::vector<int64_t> shape, Init init) {
    table_.push_back({std::move(name), std::move(shape), init});
  }
  void Linear(const std::string& name, int64_t out, int64_t in, bool bias = false) {
    Put(name + ".weight", {out, in}, Init::kNormal);
    if (bias) Put(name + ".bias", {out}, Init::kZeros);
  }

  void AddAttention(const std::string& attn) {
    const int64_t kv_width = c_.num_kv_heads * c_.head_dim;
    Linear(attn + "q_proj", c_.query_width(), c_.hidden_size, c_.qkv_bias);
    Linear(attn + "k_proj", kv_width, c_.hidden_size, c_.qkv_bias);
    Linear(attn + "v_proj", kv_width, c_.hidden_size, c_.qkv_bias);
    Linear(attn + "o_proj", c_.hidden_size, c_.num_heads * c_.head_dim, c_.output_bias);
    if (!c_.qk_norm) return;
    Put(attn + "q_norm.weight", {c_.head_dim}, norm_);
    Put(attn + "k_norm.weight", {c_.head_dim}, norm_);
  }

  void AddDeltaNet(const std::string& linear) {
    const DeltaNetConfig& d = c_.delta_net;
    if (c_.family == ModelFamily::kQwen3Next) {
      Linear(linear + "in_proj_qkvz", d.conv_width() + d.value_width(), c_.hidden_size);
      Linear(linear + "in_proj_ba", 2 * d.num_value_heads, c_.hidden_size);
    } else {
      Linear(linear + "in_proj_qkv", d.conv_width(), c_.hidden_size);
      Linear(linear + "in_proj_z", d.value_width(), c_.hidden_size);
      Linear(linear + "in_proj_b", d.num_value_heads, c_.hidden_size);
      Linear(linear + "in_proj_a", d.num_value_heads, c_.hidden_size);
    }
    Put(linear + "conv1d.weight", {d.conv_width(), 1, d.conv_kernel}, Init::kNormal);
    Put(linear + "A_log", {d.num_value_heads}, Init::kLogUniform);
    Put(linear + "dt_bias", {d.num_value_heads}, Init::kOnes);
    Put(linear + "norm.weight", {d.value_dim}, Init::kOnes);
    Linear(linear + "out_proj", c_.hidden_size, d.value_width());
  }

  void AddMlp(const std::string& mlp, int64_t width) {
    Linear(mlp + "gate_proj", width, c_.hidden_size);
    Linear(mlp + "up_proj", width, c_.hidden_size);
    Linear(mlp + "down_proj", c_.hidden_size, width);
  }

  void AddExperts(const std::string& mlp) {
    const MoeConfig& moe = c_.moe;
    Linear(mlp + "gate", moe.num_experts, c_.hidden_size);
    if (HasStackedExperts(c_)) {
      Put(mlp + "experts.gate_up_proj", {moe.num_experts, 2 * moe.expert_size, c_.hidden_size},
          Init::kNormal);
      Put(mlp + "experts.down_proj", {moe.num_experts, c_.hidden_size, moe.expert_size},
          Init::kNormal);
    } else {
      for (int64_t e = 0; e < moe.num_experts; ++e)
        AddMlp(absl::StrCat(mlp, "experts.", e, "."), moe.expert_size);
    }
    if (moe.shared_expert_size == 0) return;
    AddMlp(mlp + "shared_expert.", moe.shared_expert_size);
    Linear(mlp + "shared_expert_gate", 1, c_.hidden_size);
  }

  void AddQwen1() {
    Linear(block_ + "attn.c_attn", 3 * c_.hidden_size, c_.hidden_size, /*bias=*/true);
    Linear(block_ + "attn.c_proj", c_.hidden_size, c_.hidden_size);
    Linear(block_ + "mlp.w1", c_.intermediate_size, c_.hidden_size);
    Linear(block_ + "mlp.w2", c_.intermediate_size, c_.hidden_size);
    Linear(block_ + "mlp.c_proj", c_.hidden_size, c_.intermediate_size);
    Put(block_ + "ln_1.weight", {c_.hidden_size}, Init::kOnes);
    Put(block_ + "ln_2.weight", {c_.hidden_size}, Init::kOnes);
  }

  const ModelConfig& c_;
  const std::string block_;
  const Init norm_;
  std::vector<WeightSpec>& table_;
};

bool MayHaveMtp(const ModelConfig& config) {
  return config.head == ModelHead::kCausalLm &&
         (config.family == ModelFamily::kQwen3Next || config.family == ModelFamily::kQwen3_5 ||
          config.family == ModelFamily::kQwen3_5Moe);
}

}  // namespace

std::vector<WeightSpec> WeightTable(const ModelConfig& config) {
  std::vector<WeightSpec> table;
  const Init norm = config.zero_centered_norms ? Init::kZeros : Init::kOnes;
  table.push_back(
      {std::string(EmbeddingName(config)), {config.vocab_size, config.hidden_size}, Init::kNormal});
  for (int64_t layer = 0; layer < config.num_layers; ++layer)
    BlockTable(config, LayerPrefix(config, layer), table)
        .Add(config.layer_types[layer], config.IsSparse(layer));
  table.push_back({std::string(FinalNormName(config)), {config.hidden_size}, norm});
  if (config.head == ModelHead::kSequenceClassification) {
    table.push_back({std::string(kScore), {config.num_labels, config.hidden_size}, Init::kNormal});
  } else if (!config.tie_word_embeddings) {
    table.push_back({std::string(kLmHead), {config.vocab_size, config.hidden_size}, Init::kNormal});
  }
  return table;
}

std::vector<WeightSpec> MtpTable(const ModelConfig& config) {
  std::vector<WeightSpec> table;
  if (!MayHaveMtp(config)) return table;
  const int64_t hidden = config.hidden_size;
  table.push_back({std::string(kMtpMark), {hidden, 2 * hidden}, Init::kNormal});
  BlockTable(config, "mtp.layers.0.", table)
      .Add(LayerType::kFullAttention, config.moe.num_experts > 0);
  for (const char* name :
       {"mtp.norm.weight", "mtp.pre_fc_norm_embedding.weight", "mtp.pre_fc_norm_hidden.weight"})
    table.push_back({name, {hidden}, Init::kZeros});
  return table;
}

absl::string_view EmbeddingName(const ModelConfig& config) {
  return config.family == ModelFamily::kQwen ? "transformer.wte.weight" : kEmbedding;
}

absl::string_view FinalNormName(const ModelConfig& config) {
  return config.family == ModelFamily::kQwen ? "transformer.ln_f.weight" : kFinalNorm;
}

absl::string_view HeadName(const ModelConfig& config) {
  if (config.head == ModelHead::kSequenceClassification) return kScore;
  return config.tie_word_embeddings ? EmbeddingName(config) : kLmHead;
}

int64_t NumVisionTensors(const WeightSource& source) {
  return std::ranges::count_if(source.weights(), [](const WeightInfo& tensor) {
    return absl::StartsWith(tensor.name, kVisionPrefix);
  });
}

bool HasMtp(const ModelConfig& config, const WeightSource& source) {
  return MayHaveMtp(config) && source.Find(kMtpMark) != nullptr;
}

absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const WeightSource& source) {
  const Spelling spelling = SpellingOf(config, source);
  std::vector<WeightSpec> table = WeightTable(config);
  if (source.Find(kMtpMark) != nullptr) {
    std::vector<WeightSpec> mtp = MtpTable(config);
    std::ranges::move(mtp, std::back_inserter(table));
  }
  StoredWeights stored;
  absl::flat_hash_set<std::string> used;
  Complaints complaints;
  for (const WeightSpec& spec : table) {
    const WeightInfo* tensor = source.Find(Spell(spec.name, spelling));
    if (tensor == nullptr) {
      complaints.Add(absl::StrCat("tensor '", spec.name, "' is missing"));
      continue;
    }
    used.insert(tensor->name);
    if (tensor->shape != spec.shape) {
      complaints.Add(absl::StrCat("tensor '", tensor->name, "' has shape ",
                                  ShapeText(tensor->shape), " where ", ShapeText(spec.shape),
                                  " is expected"));
    } else if (tensor->encoding == WeightEncoding::kDense && !IsFloat(tensor->dtype)) {
      complaints.Add(absl::StrCat("tensor '", tensor->name, "' is ", DTypeName(tensor->dtype),
                                  " where a floating-point type is expected"));
    } else {
      stored.emplace(spec.name, *tensor);
    }
  }
  for (const WeightInfo& tensor : source.weights()) {
    if (used.contains(tensor.name) || IsPassedOver(tensor.name, spelling)) continue;
    const auto embedding = stored.find(EmbeddingName(config));
    if (tensor.name != kLmHead || HeadName(config) != EmbeddingName(config) ||
        embedding == stored.end()) {
      complaints.Add(absl::StrCat("tensor '", tensor.name, "' belongs to no part of this model"));
      continue;
    }
    ASSIGN_OR_RETURN(const bool same, SameElements(source, tensor, embedding->second));
    if (!same) {
      complaints.Add(
          "tensor 'lm_head.weight' differs from the embedding although tie_word_embeddings is "
          "true");
    }
  }
  RETURN_IF_ERROR(complaints.ToStatus(source.source()));
  return stored;
}

absl::StatusOr<StoredWeights> MatchCheckpoint(const ModelConfig& config,
                                              const Checkpoint& checkpoint) {
  return MatchCheckpoint(config, *SourceOf(checkpoint));
}

}  // namespace oneai::models::qwen
