#include "models/gguf/gguf_names.h"

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace oneai::models {
namespace {

struct Pair {
  absl::string_view gguf, hf;
};

constexpr std::array<Pair, 5> kArchitectures = {{{"qwen2", "qwen2"},
                                                 {"qwen2moe", "qwen2_moe"},
                                                 {"qwen3", "qwen3"},
                                                 {"qwen3moe", "qwen3_moe"},
                                                 {"llama", "llama"}}};

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

constexpr std::array<Pair, 3> kExperts = {
    {{"ffn_gate_exps", "gate_proj"}, {"ffn_up_exps", "up_proj"}, {"ffn_down_exps", "down_proj"}}};

constexpr absl::string_view kHfLayers = "model.layers.", kGgufLayers = "blk.";
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
  return absl::StrJoin(kArchitectures, ", ",
                       [](std::string* out, const Pair& pair) { absl::StrAppend(out, pair.gguf); });
}

std::optional<HfName> ToHfName(absl::string_view name) {
  absl::string_view kind;
  if (!TakeKind(name, kind)) return std::nullopt;
  if (!absl::ConsumePrefix(&name, kGgufLayers)) {
    const absl::string_view found = Find(kOutside, name, &Pair::gguf, &Pair::hf);
    if (found.empty()) return std::nullopt;
    return HfName{absl::StrCat(found, kind)};
  }
  int64_t layer = 0;
  if (!TakeNumber(name, layer)) return std::nullopt;
  if (const absl::string_view found = Find(kInLayer, name, &Pair::gguf, &Pair::hf); !found.empty())
    return HfName{absl::StrCat(kHfLayers, layer, ".", found, kind)};
  const absl::string_view stack = Find(kExperts, name, &Pair::gguf, &Pair::hf);
  if (stack.empty() || kind != ".weight") return std::nullopt;
  return HfName{absl::StrCat(kHfLayers, layer, ".", kHfExperts, "*.", stack, kind), true};
}

std::optional<GgufName> ToGgufName(absl::string_view name) {
  absl::string_view kind;
  if (!TakeKind(name, kind)) return std::nullopt;
  int64_t layer = 0;
  if (!absl::ConsumePrefix(&name, kHfLayers)) {
    const absl::string_view found = Find(kOutside, name, &Pair::hf, &Pair::gguf);
    if (found.empty()) return std::nullopt;
    return GgufName{absl::StrCat(found, kind)};
  }
  if (!TakeNumber(name, layer)) return std::nullopt;
  if (const absl::string_view found = Find(kInLayer, name, &Pair::hf, &Pair::gguf); !found.empty())
    return GgufName{absl::StrCat(kGgufLayers, layer, ".", found, kind)};
  int64_t expert = 0;
  if (!absl::ConsumePrefix(&name, kHfExperts) || !TakeNumber(name, expert)) return std::nullopt;
  const absl::string_view stack = Find(kExperts, name, &Pair::hf, &Pair::gguf);
  if (stack.empty() || kind != ".weight") return std::nullopt;
  return GgufName{absl::StrCat(kGgufLayers, layer, ".", stack, kind), expert};
}

}  // namespace oneai::models
