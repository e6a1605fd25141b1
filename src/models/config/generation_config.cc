#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/config/config_fields.h"

namespace oneai::models {

absl::StatusOr<GenerationConfig> ParseGenerationConfig(absl::string_view json,
                                                       absl::string_view what) {
  ASSIGN_OR_RETURN(Json document, ParseJson(json, what));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, what));
  GenerationConfig config;
  RETURN_IF_ERROR(
      ReadSpecialTokens(root, config.bos_token_id, config.eos_token_ids, config.pad_token_id));
  if (root.Has("do_sample")) {
    ASSIGN_OR_RETURN(config.do_sample, root.BoolOr("do_sample", false));
  }
  auto number = [&](const char* key, auto in_range, std::optional<double>& out) -> absl::Status {
    if (!root.Has(key)) return absl::OkStatus();
    ASSIGN_OR_RETURN(double value, root.Double(key));
    if (!in_range(value)) return root.Error(key, absl::StrCat("is out of range: ", value));
    out = value;
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(number(
      "temperature", [](double v) { return v >= 0; }, config.temperature));
  RETURN_IF_ERROR(number(
      "top_p", [](double v) { return v > 0 && v <= 1; }, config.top_p));
  RETURN_IF_ERROR(number(
      "repetition_penalty", [](double v) { return v > 0; }, config.repetition_penalty));
  if (root.Has("top_k")) {
    ASSIGN_OR_RETURN(config.top_k, root.Int("top_k", {0, 1 << 26}));
  }
  if (root.Has("max_new_tokens")) {
    ASSIGN_OR_RETURN(config.max_new_tokens, root.Int("max_new_tokens", kPositionsRange));
  }
  return config;
}

absl::StatusOr<GenerationConfig> LoadGenerationConfig(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, JsonLimits().bytes_max));
  return ParseGenerationConfig(text, path.string());
}

}  // namespace oneai::models
