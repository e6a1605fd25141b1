#include "models/weights/quantization.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

constexpr IntRange kGroupSize = {-1, 1 << 20};
constexpr IntRange kTile = {1, 1 << 16};

absl::Status Unsupported(const JsonObject& at, absl::string_view key, absl::string_view found,
                         absl::string_view supported) {
  return absl::UnimplementedError(absl::StrCat(at.what(), ": ", at.PathOf(key), " '", found,
                                               "' is not supported; supported: ", supported));
}

absl::Status ReadFloat8(const JsonObject& at, Quantization& out) {
  out.method = QuantizationMethod::kFloat8;
  ASSIGN_OR_RETURN(const std::string format, at.StringOr("fmt", "e4m3"));
  if (format != "e4m3") return Unsupported(at, "fmt", format, "e4m3");
  if (!at.Has("weight_block_size"))
    return Unsupported(at, "weight_block_size", "null", "[rows, columns], as in Qwen3-FP8");
  ASSIGN_OR_RETURN(const std::vector<int64_t> tile, at.IntOrIntList("weight_block_size", kTile));
  if (tile.size() != 2) return at.Error("weight_block_size", "must be [rows, columns]");
  out.tile_rows = tile[0];
  out.tile_columns = tile[1];
  return absl::OkStatus();
}

absl::Status ReadGroups(const JsonObject& at, const char* bits_key, const char* group_key,
                        Quantization& out) {
  ASSIGN_OR_RETURN(const int64_t bits, at.Int(bits_key, {1, 16}));
  out.bits = static_cast<int>(bits);
  ASSIGN_OR_RETURN(out.group_size, at.IntOr(group_key, 128, kGroupSize));
  return out.group_size == 0 ? at.Error(group_key, "must be -1 or positive") : absl::OkStatus();
}

absl::Status ReadGptq(const JsonObject& at, Quantization& out) {
  out.method = QuantizationMethod::kGptq;
  RETURN_IF_ERROR(ReadGroups(at, "bits", "group_size", out));
  if (out.bits != 4 && out.bits != 8)
    return Unsupported(at, "bits", absl::StrCat(out.bits), "4, 8");
  ASSIGN_OR_RETURN(const std::string format, at.StringOr("checkpoint_format", "gptq"));
  if (format != "gptq" && format != "gptq_v2")
    return Unsupported(at, "checkpoint_format", format, "gptq, gptq_v2");
  out.zero_point_bias = format == "gptq" ? 1 : 0;
  ASSIGN_OR_RETURN(out.symmetric, at.BoolOr("sym", false));
  if (const Json* dynamic = at.Find("dynamic"); dynamic != nullptr && !dynamic->empty())
    return Unsupported(at, "dynamic", "settings per module", "one setting for all");
  return absl::OkStatus();
}

absl::Status ReadAwq(const JsonObject& at, Quantization& out) {
  out.method = QuantizationMethod::kAwq;
  RETURN_IF_ERROR(ReadGroups(at, at.Has("bits") ? "bits" : "w_bit",
                             at.Has("group_size") ? "group_size" : "q_group_size", out));
  if (out.bits != 4) return Unsupported(at, "bits", absl::StrCat(out.bits), "4");
  ASSIGN_OR_RETURN(const std::string version, at.StringOr("version", "gemm"));
  if (!absl::EqualsIgnoreCase(version, "gemm")) return Unsupported(at, "version", version, "gemm");
  ASSIGN_OR_RETURN(const bool zero_point, at.BoolOr("zero_point", true));
  if (!zero_point) return Unsupported(at, "zero_point", "false", "true");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Quantization> ReadQuantization(const Json& config, absl::string_view what) {
  Quantization out;
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(config, what));
  if (!root.Has("quantization_config")) return out;
  ASSIGN_OR_RETURN(const JsonObject at, root.Object("quantization_config"));
  ASSIGN_OR_RETURN(const std::string method, at.String("quant_method"));
  if (method == "fp8") {
    RETURN_IF_ERROR(ReadFloat8(at, out));
  } else if (method == "gptq") {
    RETURN_IF_ERROR(ReadGptq(at, out));
  } else if (method == "awq") {
    RETURN_IF_ERROR(ReadAwq(at, out));
  } else {
    return Unsupported(at, "quant_method", method.substr(0, 60), "fp8, gptq, awq");
  }
  ASSIGN_OR_RETURN(out.plain_modules, at.StringListOr("modules_to_not_convert", {}));
  return out;
}

bool IsPlainModule(const Quantization& quantization, absl::string_view module) {
  const std::string dotted = absl::StrCat(".", module, ".");
  for (const std::string& plain : quantization.plain_modules)
    if (!plain.empty() && absl::StrContains(dotted, absl::StrCat(".", plain, "."))) return true;
  return false;
}

}  // namespace oneai::models
