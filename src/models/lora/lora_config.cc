#include "models/lora/lora_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/json/json_reader.h"

namespace oneai::models {
namespace {

constexpr JsonLimits kLimits = {.bytes_max = 1 << 20, .values_max = 20'000, .depth_max = 16};
constexpr IntRange kRank = {1, 1 << 14};
constexpr double kAlphaMax = 1e6;
constexpr size_t kModuleNameMax = 256;

// Keys that this parser reads.
constexpr std::array<absl::string_view, 10> kReadKeys = {
    "peft_type",     "r",    "lora_alpha",        "use_rslora",  "target_modules", "rank_pattern",
    "alpha_pattern", "bias", "init_lora_weights", "lora_dropout"};
// Keys that do not change what a trained adapter computes: provenance, and settings of features
// whose own switch is among the refused ones.
constexpr std::array<absl::string_view, 10> kIgnoredKeys = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "loftq_config",   "megatron_core",
    "peft_version", "qalora_group_size",       "revision",       "runtime_config", "task_type"};

template <size_t N>
bool Contains(const std::array<absl::string_view, N>& keys, absl::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// True for a value that leaves a feature off.
bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == 0 ||
         (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_structured() && value.empty());
}

absl::Status Unsupported(const JsonObject& root, absl::string_view key,
                         absl::string_view supported) {
  return absl::UnimplementedError(
      absl::StrCat(root.what(), ": '", root.PathOf(key), "' is set to ",
                   root.value().at(std::string(key)).dump(-1, ' ', true).substr(0, 80),
                   "; supported: ", supported));
}

// Plain names only: PEFT takes regular expressions in the same places, which are refused.
bool IsModuleName(absl::string_view name) {
  return !name.empty() && name.size() <= kModuleNameMax &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; });
}

bool EndsInModule(absl::string_view module, absl::string_view name) {
  return module == name || (module.size() > name.size() && absl::EndsWith(module, name) &&
                            module[module.size() - name.size() - 1] == '.');
}

absl::Status RefuseOtherFeatures(const JsonObject& root) {
  for (const auto& [key, value] : root.value().items()) {
    if (Contains(kReadKeys, key) || Contains(kIgnoredKeys, key) || IsOff(value)) continue;
    return Unsupported(root, key, "adapters without it");
  }
  ASSIGN_OR_RETURN(const std::string type, root.String("peft_type"));
  if (type != "LORA") return Unsupported(root, "peft_type", "LORA");
  ASSIGN_OR_RETURN(const std::string bias, root.StringOr("bias", "none"));
  if (bias != "none") return Unsupported(root, "bias", "none");
  // pissa, olora, corda and loftq subtract the adapter's start from the base weights, so the
  // adapter does not fit the base model as it is stored.
  if (const Json* init = root.Find("init_lora_weights"); init != nullptr && !init->is_boolean() &&
                                                         *init != "gaussian" && *init != "eva" &&
                                                         *init != "orthogonal") {
    return Unsupported(root, "init_lora_weights", "true, false, gaussian, eva, orthogonal");
  }
  ASSIGN_OR_RETURN(const double dropout, root.DoubleOr("lora_dropout", 0.0));  // of training only
  if (dropout < 0 || dropout > 1) return root.Error("lora_dropout", "must be between 0 and 1");
  return absl::OkStatus();
}

absl::StatusOr<double> ReadAlpha(const JsonObject& object, absl::string_view key, double fallback) {
  ASSIGN_OR_RETURN(const double alpha, object.DoubleOr(key, fallback));
  if (!(alpha > 0 && alpha <= kAlphaMax)) {
    return object.Error(key, absl::StrCat("must be above 0 and at most ", kAlphaMax));
  }
  return alpha;
}

absl::Status ReadTargets(const JsonObject& root, LoraConfig& config) {
  const Json* targets = root.Find("target_modules");
  if (targets != nullptr && targets->is_string()) {
    if (*targets != "all-linear") {
      return Unsupported(root, "target_modules", "a list of module names, or all-linear");
    }
    config.all_linear = true;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(config.target_modules, root.StringListOr("target_modules", {}));
  if (config.target_modules.empty()) {
    return root.Error("target_modules", "must name at least one module");
  }
  for (const std::string& name : config.target_modules) {
    if (!IsModuleName(name)) return Unsupported(root, "target_modules", "plain module names");
  }
  return absl::OkStatus();
}

// The values of pattern `key` in document order. `read(object, name)` reads one.
template <typename T, typename Read>
absl::Status ReadPattern(const OrderedJson& document, const JsonObject& root, absl::string_view key,
                         Read read, std::vector<std::pair<std::string, T>>& pattern) {
  if (!root.Has(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const JsonObject values, root.Object(key));
  for (const auto& [name, unused] : document.at(std::string(key)).items()) {
    if (!IsModuleName(name)) return Unsupported(root, key, "plain module names as keys");
    ASSIGN_OR_RETURN(T value, read(values, name));
    pattern.emplace_back(name, value);
  }
  return absl::OkStatus();
}

template <typename T>
T FirstMatch(const std::vector<std::pair<std::string, T>>& pattern, absl::string_view module,
             T fallback) {
  for (const auto& [name, value] : pattern) {
    if (EndsInModule(module, name)) return value;
  }
  return fallback;
}

}  // namespace

absl::StatusOr<LoraConfig> ParseLoraConfig(absl::string_view json, absl::string_view what) {
  ASSIGN_OR_RETURN(const OrderedJson document, ParseOrderedJson(json, what, kLimits));
  const Json sorted(document);
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(sorted, what));
  RETURN_IF_ERROR(RefuseOtherFeatures(root));
  LoraConfig config;
  ASSIGN_OR_RETURN(config.rank, root.IntOr("r", config.rank, kRank));
  ASSIGN_OR_RETURN(config.alpha, ReadAlpha(root, "lora_alpha", config.alpha));
  ASSIGN_OR_RETURN(config.use_rslora, root.BoolOr("use_rslora", false));
  RETURN_IF_ERROR(ReadTargets(root, config));
  RETURN_IF_ERROR(ReadPattern(
      document, root, "rank_pattern",
      [](const JsonObject& values, const std::string& name) { return values.Int(name, kRank); },
      config.rank_pattern));
  RETURN_IF_ERROR(ReadPattern(
      document, root, "alpha_pattern",
      [](const JsonObject& values, const std::string& name) -> absl::StatusOr<double> {
        RETURN_IF_ERROR(values.Double(name).status());
        return ReadAlpha(values, name, 0);
      },
      config.alpha_pattern));
  return config;
}

absl::StatusOr<LoraConfig> LoadLoraConfig(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "adapter_config.json";
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, kLimits.bytes_max));
  return ParseLoraConfig(text, file.string());
}

bool SelectsModule(const LoraConfig& config, absl::string_view module) {
  if (config.all_linear) {
    return !EndsInModule(module, "lm_head") && !EndsInModule(module, "score");
  }
  return std::any_of(config.target_modules.begin(), config.target_modules.end(),
                     [&](const std::string& name) { return EndsInModule(module, name); });
}

int64_t RankOf(const LoraConfig& config, absl::string_view module) {
  return FirstMatch(config.rank_pattern, module, config.rank);
}

double ScaleOf(const LoraConfig& config, absl::string_view module) {
  const auto rank = static_cast<double>(RankOf(config, module));
  const double alpha = FirstMatch(config.alpha_pattern, module, config.alpha);
  return alpha / (config.use_rslora ? std::sqrt(rank) : rank);
}

}  // namespace oneai::models
