// File: models/lora/lora_config.h
//
// The `adapter_config.json` of a PEFT LoRA adapter, read as untrusted input. Source:
// huggingface/peft, src/peft/tuners/lora/config.py (keys and defaults) and
// src/peft/tuners/tuners_utils.py (how modules are selected); arXiv:2106.09685 (LoRA),
// arXiv:2312.03732 (rank-stabilised scale).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai::models {

// How an adapter changes a model: the matrices it is on, their ranks and their scales.
struct LoraConfig {
  int64_t rank = 8;
  double alpha = 8;
  bool use_rslora = false;  // scale is alpha / sqrt(rank) in place of alpha / rank
  // Module names, or ends of names after a dot. Empty with all_linear.
  std::vector<std::string> target_modules;
  bool all_linear = false;  // "all-linear": every matrix but the one at the output
  // Exceptions by module name or end of name; the first that fits counts, as in PEFT.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
};

// Parses the text of an adapter_config.json; `what` names it in errors. InvalidArgument: malformed,
// missing or out of range, naming the key. Unimplemented, by name: another kind of adapter, and
// every setting that changes the result and that oneai does not compute (DoRA, trained biases,
// modules_to_save, layer selection, regular expressions, initialisations that alter the base
// weights); a key that is unknown is refused unless it is null, false, empty or zero.
absl::StatusOr<LoraConfig> ParseLoraConfig(absl::string_view json, absl::string_view what);

// ParseLoraConfig of `<folder>/adapter_config.json`. NotFound when there is none.
absl::StatusOr<LoraConfig> LoadLoraConfig(const std::filesystem::path& folder);

// What `config` does to `module`, for example "model.layers.0.self_attn.q_proj".
bool SelectsModule(const LoraConfig& config, absl::string_view module);
int64_t RankOf(const LoraConfig& config, absl::string_view module);
double ScaleOf(const LoraConfig& config, absl::string_view module);

}  // namespace oneai::models
