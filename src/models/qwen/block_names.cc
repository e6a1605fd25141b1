#include "models/qwen/block_names.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace oneai::models::qwen {
namespace {

// The bias beside each weight.
RowParts BiasesOf(const RowParts& weights) {
  RowParts biases = weights;
  for (RowPart& part : biases)
    part.name = absl::StrCat(absl::StripSuffix(part.name, "weight"), "bias");
  return biases;
}

// q_proj of gated attention holds, head by head, [query | gate].
void NameGatedAttention(const ModelConfig& c, const std::string& attn, RowParts& qkv) {
  const std::string q = attn + "q_proj.weight";
  const int64_t kv_width = c.num_kv_heads * c.head_dim;
  auto add_half = [&](int64_t half) {
    for (int64_t head = 0; head < c.num_heads; ++head)
      qkv.push_back({q, (2 * head + half) * c.head_dim, c.head_dim});
  };
  add_half(0);
  qkv.push_back({attn + "k_proj.weight", 0, kv_width});
  qkv.push_back({attn + "v_proj.weight", 0, kv_width});
  add_half(1);
}

void NameAttention(const ModelConfig& c, const std::string& attn, BlockNames& names) {
  const int64_t q_width = c.num_heads * c.head_dim, kv_width = c.num_kv_heads * c.head_dim;
  if (c.attention_gate) {
    NameGatedAttention(c, attn, names.qkv);
  } else {
    names.qkv = {{attn + "q_proj.weight", 0, q_width},
                 {attn + "k_proj.weight", 0, kv_width},
                 {attn + "v_proj.weight", 0, kv_width}};
  }
  if (c.qkv_bias) names.qkv_bias = BiasesOf(names.qkv);
  names.o = attn + "o_proj.weight";
  if (c.output_bias) names.o_bias = attn + "o_proj.bias";
  if (c.qk_norm) names.q_norm = attn + "q_norm.weight", names.k_norm = attn + "k_norm.weight";
}

// Qwen3-Next groups rows by key head: in_proj_qkvz [q | k | v of its value heads | z of them],
// in_proj_ba [b of its value heads | a of them].
void NameGroupedProjections(const DeltaNetConfig& d, const std::string& linear, BlockNames& names) {
  const std::string qkvz = linear + "in_proj_qkvz.weight", ba = linear + "in_proj_ba.weight";
  const int64_t ratio = d.num_value_heads / d.num_key_heads, values = ratio * d.value_dim;
  const int64_t group = 2 * d.key_dim + 2 * values;
  auto add = [&](int64_t offset, int64_t rows) {
    for (int64_t head = 0; head < d.num_key_heads; ++head)
      names.qkvz.push_back({qkvz, head * group + offset, rows});
  };
  add(0, d.key_dim);
  add(d.key_dim, d.key_dim);
  add(2 * d.key_dim, values);
  add(2 * d.key_dim + values, values);
  for (const int64_t half : {0, 1}) {
    for (int64_t head = 0; head < d.num_key_heads; ++head)
      names.ba.push_back({ba, (2 * head + half) * ratio, ratio});
  }
}

void NameDeltaNet(const ModelConfig& c, const std::string& block, BlockNames& names) {
  const DeltaNetConfig& d = c.delta_net;
  const std::string linear = block + "linear_attn.";
  if (c.family == ModelFamily::kQwen3Next) {
    NameGroupedProjections(d, linear, names);
  } else {
    names.qkvz = {{linear + "in_proj_qkv.weight", 0, d.conv_width()},
                  {linear + "in_proj_z.weight", 0, d.value_width()}};
    names.ba = {{linear + "in_proj_b.weight", 0, d.num_value_heads},
                {linear + "in_proj_a.weight", 0, d.num_value_heads}};
  }
  names.conv = linear + "conv1d.weight";
  names.a_log = linear + "A_log";
  names.dt_bias = linear + "dt_bias";
  names.delta_norm = linear + "norm.weight";
  names.delta_out = linear + "out_proj.weight";
}

void NameExperts(const ModelConfig& c, const std::string& mlp, BlockNames& names) {
  const MoeConfig& moe = c.moe;
  names.router = {{mlp + "gate.weight", 0, moe.num_experts}};
  for (int64_t e = 0; e < moe.num_experts; ++e) {
    if (HasStackedExperts(c)) {
      names.expert_gate_up.push_back(
          {{mlp + "experts.gate_up_proj", e * 2 * moe.expert_size, 2 * moe.expert_size}});
      names.expert_down.push_back({mlp + "experts.down_proj", e * c.hidden_size, c.hidden_size});
      continue;
    }
    const std::string expert = absl::StrCat(mlp, "experts.", e, ".");
    names.expert_gate_up.push_back({{expert + "gate_proj.weight", 0, moe.expert_size},
                                    {expert + "up_proj.weight", 0, moe.expert_size}});
    names.expert_down.push_back({expert + "down_proj.weight", 0, c.hidden_size});
  }
  if (moe.shared_expert_size == 0) return;
  names.router.push_back({mlp + "shared_expert_gate.weight", 0, 1});
  const std::string shared = mlp + "shared_expert.";
  names.shared_gate_up = {{shared + "gate_proj.weight", 0, moe.shared_expert_size},
                          {shared + "up_proj.weight", 0, moe.shared_expert_size}};
  names.shared_down = shared + "down_proj.weight";
}

BlockNames NamesOfBlock(const ModelConfig& c, const std::string& block, LayerType type,
                        bool sparse) {
  BlockNames names;
  names.input_norm = block + "input_layernorm.weight";
  names.post_attention_norm = block + "post_attention_layernorm.weight";
  if (type == LayerType::kLinearAttention) {
    NameDeltaNet(c, block, names);
  } else {
    NameAttention(c, block + "self_attn.", names);
  }
  const std::string mlp = block + "mlp.";
  if (sparse) {
    NameExperts(c, mlp, names);
  } else {
    names.gate_up = {{mlp + "gate_proj.weight", 0, c.intermediate_size},
                     {mlp + "up_proj.weight", 0, c.intermediate_size}};
    names.down = mlp + "down_proj.weight";
  }
  return names;
}

BlockNames NamesOfQwen1Block(const ModelConfig& c, const std::string& block) {
  BlockNames names;
  names.input_norm = block + "ln_1.weight";
  names.post_attention_norm = block + "ln_2.weight";
  names.qkv = {{block + "attn.c_attn.weight", 0, 3 * c.hidden_size}};
  names.qkv_bias = BiasesOf(names.qkv);
  names.o = block + "attn.c_proj.weight";
  // w2 is the gate and w1 the up projection.
  names.gate_up = {{block + "mlp.w2.weight", 0, c.intermediate_size},
                   {block + "mlp.w1.weight", 0, c.intermediate_size}};
  names.down = block + "mlp.c_proj.weight";
  return names;
}

}  // namespace

std::string LayerPrefix(const ModelConfig& config, int64_t layer) {
  return absl::StrCat(config.family == ModelFamily::kQwen ? "transformer.h." : "model.layers.",
                      layer, ".");
}

bool HasStackedExperts(const ModelConfig& config) {
  return config.family == ModelFamily::kQwen3_5Moe;
}

BlockNames NamesOfLayer(const ModelConfig& config, int64_t layer) {
  const std::string prefix = LayerPrefix(config, layer);
  if (config.family == ModelFamily::kQwen) return NamesOfQwen1Block(config, prefix);
  return NamesOfBlock(config, prefix, config.layer_types[layer], config.IsSparse(layer));
}

BlockNames NamesOfMtpLayer(const ModelConfig& config) {
  return NamesOfBlock(config, "mtp.layers.0.", LayerType::kFullAttention,
                      config.moe.num_experts > 0);
}

}  // namespace oneai::models::qwen
