#include "models/gguf/gguf_names.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace oneai::models {
namespace {

struct Pair {
  absl::string_view gguf, hf;
};

// The first of an architecture is the model type that it is read as.
constexpr std::array<Pair, 10> kArchitectures = {{{"qwen2", "qwen2"},
                                                  {"qwen2moe", "qwen2_moe"},
                                                  {"qwen3", "qwen3"},
                                                  {"qwen3moe", "qwen3_moe"},
                                                  {"qwen3next", "qwen3_next"},
                                                  {"qwen35", "qwen3_5_text"},
                                                  {"qwen35moe", "qwen3_5_moe_text"},
                                                  {"llama", "llama"},
                                                  {"qwen35", "qwen3_5"},
                                                  {"qwen35moe", "qwen3_5_moe"}}};
constexpr size_t kNumNamed = 8;  // those that KnownGgufArchitectures lists

constexpr std::array<Pair, 3> kOutside = {
    {{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}}};

// Behind "blk.N." and "model.layers.N.".
constexpr std::array<Pair, 16> kInLayer = {{{"attn_norm", "input_layernorm"},
                                            {"ffn_norm", "post_attention_layernorm"},
                                            {"attn_q", "self_attn.q_proj"},
                                            {"attn_k", "self_attn.k_proj"},
                                            {"attn_v", "self_attn.v_proj"},
                                            {"attn_output", "self_attn.o_proj"},
                                            {"attn_q_norm", "self_attn.q_norm"},
                                            {"attn_k_norm", "self_attn.k_norm"},
                                            {"ffn_gate", "mlp.gate_proj"},
                                            {"ffn_up", "mlp.up_proj"},
                                            {"ffn_down", "mlp.down_proj"},
                                            {"ffn_gate_inp", "mlp.gate"},
                                            {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
                                            {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
                                            {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
                                            {"ffn_down_shexp", "mlp.shared_expert.down_proj"}}};

// The same in hybrids, before the names above.
constexpr std::array<Pair, 9> kInHybridLayer = {
    {{"post_attention_norm", "post_attention_layernorm"},
     {"attn_qkv", "linear_attn.in_proj_qkv"},
     {"attn_gate", "linear_attn.in_proj_z"},
     {"ssm_ba", "linear_attn.in_proj_ba"},
     {"ssm_beta", "linear_attn.in_proj_b"},
     {"ssm_alpha", "linear_attn.in_proj_a"},
     {"ssm_conv1d", "linear_attn.conv1d"},
     {"ssm_norm", "linear_attn.norm"},
     {"ssm_out", "linear_attn.out_proj"}}};
// Whole names, for those whose endings differ.
constexpr std::array<Pair, 3> kWholeInHybridLayer = {
    {{"ssm_a", "linear_attn.A_log"},
     {"ssm_dt.bias", "linear_attn.dt_bias"},
     {"ssm_in.weight", "linear_attn.in_proj_qkvz.weight"}}};  // of files made before 2026
// Behind "blk.<num_layers>." and "mtp.".
constexpr std::array<Pair, 4> kInDraftHead = {
    {{"nextn.eh_proj.weight", "fc.weight"},
     {"nextn.enorm.weight", "pre_fc_norm_embedding.weight"},
     {"nextn.hnorm.weight", "pre_fc_norm_hidden.weight"},
     {"nextn.shared_head_norm.weight", "norm.weight"}}};

constexpr std::array<Pair, 3> kExperts = {
    {{"ffn_gate_exps", "gate_proj"}, {"ffn_up_exps", "up_proj"}, {"ffn_down_exps", "down_proj"}}};

constexpr absl::string_view kHfLayers = "model.layers.", kGgufLayers = "blk.";
constexpr absl::string_view kHfDraftHead = "mtp.", kHfDraftLayers = "mtp.layers.";
constexpr absl::string_view kHfExperts = "mlp.experts.";

// Splits "<number>.<rest>". Numbers are written without leading zeros and below 10^6.
bool TakeNumber(absl::string_view& text, int64_t& number) {
  const size_t dot = text.find('.');
  if (dot == absl::string_view::npos || dot == 0 || dot > 6 || (dot > 1 && text[0] == '0'))
    return false;
  number = 0;
  for (const char c : text.substr(0, dot)) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + (c - '0');
  }
  text.remove_prefix(dot + 1);
  return true;
}

// Cuts ".weight" or ".bias" off.
bool TakeKind(absl::string_view& text, absl::string_view& kind) {
  for (const absl::string_view suffix : {".weight", ".bias"}) {
    if (absl::ConsumeSuffix(&text, suffix)) {
      kind = suffix;
      return true;
    }
  }
  return false;
}

template <size_t N>
absl::string_view Find(const std::array<Pair, N>& table, absl::string_view wanted,
                       absl::string_view Pair::*from, absl::string_view Pair::*to) {
  for (const Pair& pair : table)
    if (pair.*from == wanted) return pair.*to;
  return "";
}

// Name of a layer's tensor, from the tables above, without the layer's prefix. Empty: unknown.
std::string Translate(absl::string_view name, bool hybrid, absl::string_view Pair::*from,
                      absl::string_view Pair::*to) {
  if (hybrid) {
    const absl::string_view whole = Find(kWholeInHybridLayer, name, from, to);
    if (!whole.empty()) return std::string(whole);
  }
  absl::string_view kind;
  if (!TakeKind(name, kind)) return "";
  absl::string_view found;
  if (hybrid) found = Find(kInHybridLayer, name, from, to);
  if (found.empty()) found = Find(kInLayer, name, from, to);
  // What the hybrids call by another name they do not call by this one.
  if (hybrid && (found == "ffn_norm" || name == "ffn_norm")) return "";
  return found.empty() ? "" : absl::StrCat(found, kind);
}

}  // namespace

std::optional<std::string> HfModelType(absl::string_view architecture) {
  const absl::string_view found = Find(kArchitectures, architecture, &Pair::gguf, &Pair::hf);
  return found.empty() ? std::nullopt : std::make_optional<std::string>(found);
}

std::optional<std::string> GgufArchitecture(absl::string_view model_type) {
  const absl::string_view found = Find(kArchitectures, model_type, &Pair::hf, &Pair::gguf);
  return found.empty() ? std::nullopt : std::make_optional<std::string>(found);
}

std::string KnownGgufArchitectures() {
  return absl::StrJoin(kArchitectures.begin(), kArchitectures.begin() + kNumNamed, ", ",
                       [](std::string* out, const Pair& pair) { absl::StrAppend(out, pair.gguf); });
}

bool IsHybridArchitecture(absl::string_view architecture) {
  return architecture == "qwen3next" || absl::StartsWith(architecture, "qwen35");
}

std::optional<HfName> ToHfName(absl::string_view name, const GgufNaming& naming) {
  if (!absl::ConsumePrefix(&name, kGgufLayers)) {
    absl::string_view kind;
    if (!TakeKind(name, kind)) return std::nullopt;
    const absl::string_view found = Find(kOutside, name, &Pair::gguf, &Pair::hf);
    if (found.empty()) return std::nullopt;
    return HfName{absl::StrCat(found, kind)};
  }
  int64_t layer = 0;
  if (!TakeNumber(name, layer)) return std::nullopt;
  const bool draft = naming.hybrid && layer >= naming.num_layers;
  if (draft) {
    if (layer > naming.num_layers) return std::nullopt;
    const absl::string_view found = Find(kInDraftHead, name, &Pair::gguf, &Pair::hf);
    if (!found.empty()) return HfName{absl::StrCat(kHfDraftHead, found)};
  }
  const std::string prefix =
      draft ? absl::StrCat(kHfDraftLayers, "0.") : absl::StrCat(kHfLayers, layer, ".");
  const std::string found = Translate(name, naming.hybrid, &Pair::gguf, &Pair::hf);
  if (!found.empty()) return HfName{absl::StrCat(prefix, found)};
  if (!absl::ConsumeSuffix(&name, ".weight")) return std::nullopt;
  const absl::string_view stack = Find(kExperts, name, &Pair::gguf, &Pair::hf);
  if (stack.empty()) return std::nullopt;
  return HfName{absl::StrCat(prefix, kHfExperts, "*.", stack, ".weight"), true};
}

std::optional<GgufName> ToGgufName(absl::string_view name, const GgufNaming& naming) {
  int64_t layer = 0;
  if (naming.hybrid && absl::ConsumePrefix(&name, kHfDraftLayers)) {
    if (!TakeNumber(name, layer) || layer != 0) return std::nullopt;
    layer = naming.num_layers;
  } else if (naming.hybrid && absl::ConsumePrefix(&name, kHfDraftHead)) {
    const absl::string_view found = Find(kInDraftHead, name, &Pair::hf, &Pair::gguf);
    if (found.empty()) return std::nullopt;
    return GgufName{absl::StrCat(kGgufLayers, naming.num_layers, ".", found)};
  } else if (!absl::ConsumePrefix(&name, kHfLayers)) {
    absl::string_view kind;
    if (!TakeKind(name, kind)) return std::nullopt;
    const absl::string_view found = Find(kOutside, name, &Pair::hf, &Pair::gguf);
    if (found.empty()) return std::nullopt;
    return GgufName{absl::StrCat(found, kind)};
  } else if (!TakeNumber(name, layer)) {
    return std::nullopt;
  }
  const std::string prefix = absl::StrCat(kGgufLayers, layer, ".");
  const std::string found = Translate(name, naming.hybrid, &Pair::hf, &Pair::gguf);
  if (!found.empty()) return GgufName{absl::StrCat(prefix, found)};
  int64_t expert = 0;
  if (!absl::ConsumePrefix(&name, kHfExperts) || !TakeNumber(name, expert)) return std::nullopt;
  if (!absl::ConsumeSuffix(&name, ".weight")) return std::nullopt;
  const absl::string_view stack = Find(kExperts, name, &Pair::hf, &Pair::gguf);
  if (stack.empty()) return std::nullopt;
  return GgufName{absl::StrCat(prefix, stack, ".weight"), expert};
}

}  // namespace oneai::models
