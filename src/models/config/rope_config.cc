#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/config/config_fields.h"

namespace oneai::models {
namespace {

// 0.1 m ln(factor) + 1: the attention temperature of YaRN (arXiv:2309.00071, section 3.4).
double YarnScale(double factor, double m) {
  return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

absl::StatusOr<double> ReadFactor(const JsonObject& scaling) {
  ASSIGN_OR_RETURN(const double factor, scaling.Double("factor"));
  if (factor >= 1.0 && factor <= 1e6) return factor;
  return scaling.Error("factor", "must be between 1 and 1000000");
}

absl::Status ReadYarn(const JsonObject& scaling, int64_t max_positions, RopeConfig& rope) {
  rope.scaling = RopeScaling::kYarn;
  ASSIGN_OR_RETURN(rope.yarn_factor, ReadFactor(scaling));
  ASSIGN_OR_RETURN(rope.yarn_original_positions, scaling.IntOr("original_max_position_embeddings",
                                                               max_positions, kPositionsRange));
  ASSIGN_OR_RETURN(rope.yarn_beta_fast, scaling.DoubleOr("beta_fast", 32.0));
  ASSIGN_OR_RETURN(rope.yarn_beta_slow, scaling.DoubleOr("beta_slow", 1.0));
  if (rope.yarn_beta_slow <= 0 || rope.yarn_beta_fast < rope.yarn_beta_slow)
    return scaling.Error("beta_fast", "must be >= beta_slow, and both above 0");
  ASSIGN_OR_RETURN(rope.yarn_truncate, scaling.BoolOr("truncate", true));
  ASSIGN_OR_RETURN(double mscale, scaling.DoubleOr("mscale", 0.0));
  ASSIGN_OR_RETURN(double mscale_all_dim, scaling.DoubleOr("mscale_all_dim", 0.0));
  const double scale =
      mscale != 0 && mscale_all_dim != 0
          ? YarnScale(rope.yarn_factor, mscale) / YarnScale(rope.yarn_factor, mscale_all_dim)
          : YarnScale(rope.yarn_factor, 1.0);
  ASSIGN_OR_RETURN(rope.yarn_attention_factor, scaling.DoubleOr("attention_factor", scale));
  if (!(rope.yarn_attention_factor > 0) || rope.yarn_attention_factor > 1e6)
    return scaling.Error("attention_factor", "must be above 0");
  return absl::OkStatus();
}

absl::Status ReadLlama3(const JsonObject& scaling, RopeConfig& rope) {
  rope.scaling = RopeScaling::kLlama3;
  ASSIGN_OR_RETURN(rope.llama3_factor, ReadFactor(scaling));
  ASSIGN_OR_RETURN(rope.llama3_low_frequency_factor, scaling.Double("low_freq_factor"));
  ASSIGN_OR_RETURN(rope.llama3_high_frequency_factor, scaling.Double("high_freq_factor"));
  if (rope.llama3_low_frequency_factor <= 0 || rope.llama3_high_frequency_factor > 1e6 ||
      rope.llama3_high_frequency_factor <= rope.llama3_low_frequency_factor)
    return scaling.Error("high_freq_factor", "must be above low_freq_factor, and that above 0");
  ASSIGN_OR_RETURN(rope.llama3_original_positions,
                   scaling.Int("original_max_position_embeddings", kPositionsRange));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RopeConfig> ReadRope(const JsonObject& root, int64_t max_positions,
                                    double partial_factor) {
  RopeConfig rope;
  // transformers 5 holds theta inside `rope_parameters`; released files beside `rope_scaling`.
  const char* key = root.Has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  ASSIGN_OR_RETURN(rope.theta, root.DoubleOr("rope_theta", 10000.0));
  ASSIGN_OR_RETURN(rope.partial_factor, root.DoubleOr("partial_rotary_factor", partial_factor));
  if (root.Has(key)) {
    ASSIGN_OR_RETURN(JsonObject scaling, root.Object(key));
    ASSIGN_OR_RETURN(rope.theta, scaling.DoubleOr("rope_theta", rope.theta));
    ASSIGN_OR_RETURN(rope.partial_factor,
                     scaling.DoubleOr("partial_rotary_factor", rope.partial_factor));
    const char* type_key = scaling.Has("rope_type") ? "rope_type" : "type";
    ASSIGN_OR_RETURN(std::string type, scaling.StringOr(type_key, "default"));
    if (type == "yarn") {
      RETURN_IF_ERROR(ReadYarn(scaling, max_positions, rope));
    } else if (type == "llama3") {
      RETURN_IF_ERROR(ReadLlama3(scaling, rope));
    } else if (type != "default") {
      return Unsupported(scaling, type_key, type, "default, yarn, llama3");
    }
  }
  if (!(rope.theta >= 1.0) || rope.theta > 1e15)
    return root.Error("rope_theta", absl::StrCat("must be between 1 and 1e15, found ", rope.theta));
  if (!(rope.partial_factor > 0 && rope.partial_factor <= 1))
    return root.Error("partial_rotary_factor",
                      absl::StrCat("must be above 0 and at most 1, found ", rope.partial_factor));
  return rope;
}

}  // namespace oneai::models
