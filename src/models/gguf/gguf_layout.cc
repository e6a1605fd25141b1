#include "models/gguf/gguf_layout.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace oneai::models {
namespace {

constexpr absl::string_view kStackedGateUp = "mlp.experts.gate_up_proj";
constexpr absl::string_view kStackedDown = "mlp.experts.down_proj";

int64_t RowsOfShape(const std::vector<int64_t>& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

absl::Status BadShape(absl::string_view name, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("tensor '", name, "': ", message));
}

// The place of one tensor, in the making.
class Placing {
 public:
  Placing(const GgufLayout& layout, absl::string_view name, const std::vector<int64_t>& shape)
      : l_(layout), name_(name), shape_(shape), rows_(RowsOfShape(shape)), columns_(shape.back()) {}

  absl::StatusOr<std::optional<TensorPlace>> Run() {
    if (l_.naming.hybrid) {
      if (absl::EndsWith(name_, ".in_proj_qkvz.weight") && !l_.whole_qkvz) return GroupedQkvz();
      if (l_.stacked_experts && absl::EndsWith(name_, kStackedGateUp)) return StackedGateUp();
      if (l_.stacked_experts && absl::EndsWith(name_, kStackedDown)) return StackedDown();
    }
    const std::optional<GgufName> found = ToGgufName(name_, l_.naming);
    if (!found) return std::nullopt;
    if (found->expert >= 0) return Expert(*found);
    stored_ = found->name;
    if (absl::EndsWith(stored_, "ssm_conv1d.weight") && shape_.size() == 3 && shape_[1] == 1)
      return TileValueHeads({shape_[0], shape_[2]});
    if (absl::EndsWith(stored_, "ffn_gate_inp_shexp.weight") && rows_ == 1)
      return Whole({columns_});
    if (shape_.size() > 2) return BadShape(name_, "has more than 2 dims");
    if (l_.naming.hybrid && absl::StrContains(name_, ".linear_attn."))
      return TileValueHeads(shape_);
    if (l_.llama_head_dim > 0 &&
        (absl::StrContains(stored_, ".attn_q.") || absl::StrContains(stored_, ".attn_k.")))
      return LlamaHeads();
    if (l_.naming.hybrid && absl::EndsWith(stored_, "norm.weight")) place_.map = ValueMap::kPlusOne;
    return Whole(shape_);
  }

 private:
  using Result = absl::StatusOr<std::optional<TensorPlace>>;

  void Add(std::string stored, std::vector<int64_t> shape, int64_t row, int64_t stored_row,
           int64_t num_rows) {
    place_.runs.push_back({std::move(stored), std::move(shape), row, stored_row, num_rows});
  }
  Result Whole(std::vector<int64_t> shape) {
    Add(stored_, std::move(shape), 0, 0, rows_);
    return std::move(place_);
  }

  Result Expert(const GgufName& found) {
    if (found.expert >= l_.num_experts)
      return BadShape(name_, absl::StrCat("the model has ", l_.num_experts, " experts"));
    if (shape_.size() != 2) return BadShape(name_, "a matrix of an expert has 2 dims");
    std::string stored = found.name;
    int64_t rows = rows_, first = 0;
    if (l_.fused_gate_up && !absl::StrContains(stored, "ffn_down")) {
      if (absl::StrContains(stored, "ffn_up")) first = rows_;
      rows = 2 * rows_;
      stored = absl::StrReplaceAll(
          stored, {{"ffn_up_exps", "ffn_gate_up_exps"}, {"ffn_gate_exps", "ffn_gate_up_exps"}});
    }
    Add(std::move(stored), {l_.num_experts, rows, columns_}, 0, found.expert * rows + first, rows_);
    return std::move(place_);
  }

  // [experts, 2 x width, columns]: the rows of gate, then those of up.
  Result StackedGateUp() {
    if (shape_.size() != 3 || shape_[0] != l_.num_experts || shape_[1] % 2 != 0)
      return BadShape(name_, "a stack of gate and up has 3 dims, the second even");
    const absl::string_view block = absl::StripSuffix(name_, kStackedGateUp);
    const int64_t width = shape_[1] / 2;
    if (l_.fused_gate_up) {
      Add(StackName(block, "gate_up"), shape_, 0, 0, rows_);
      return std::move(place_);
    }
    const std::string gate = StackName(block, "gate"), up = StackName(block, "up");
    const std::vector<int64_t> stack = {shape_[0], width, columns_};
    for (int64_t e = 0; e < shape_[0]; ++e) {
      Add(gate, stack, 2 * e * width, e * width, width);
      Add(up, stack, (2 * e + 1) * width, e * width, width);
    }
    return std::move(place_);
  }
  Result StackedDown() {
    if (shape_.size() != 3 || shape_[0] != l_.num_experts)
      return BadShape(name_, "a stack of experts has 3 dims");
    stored_ = StackName(absl::StripSuffix(name_, kStackedDown), "down");
    return Whole(shape_);
  }
  std::string StackName(absl::string_view block, absl::string_view part) const {
    const auto down = ToGgufName(absl::StrCat(block, "mlp.experts.0.down_proj.weight"), l_.naming);
    return down ? absl::StrReplaceAll(down->name, {{"ffn_down", absl::StrCat("ffn_", part)}}) : "";
  }

  // in_proj_qkvz has, for each key head, [q | k | v of its value heads | z of them]; stored are
  // [all q | all k | all v] and [all z].
  Result GroupedQkvz() {
    if (l_.num_key_heads < 1) return BadShape(name_, "the model has no linear attention");
    const int64_t values = l_.num_value_heads / l_.num_key_heads * l_.value_dim;
    const int64_t group = 2 * l_.key_dim + 2 * values;
    if (shape_.size() != 2 || rows_ != l_.num_key_heads * group)
      return BadShape(name_, absl::StrCat("has not ", l_.num_key_heads * group, " rows"));
    const absl::string_view block = absl::StripSuffix(name_, "in_proj_qkvz.weight");
    const auto qkv = ToGgufName(absl::StrCat(block, "in_proj_qkv.weight"), l_.naming);
    const auto z = ToGgufName(absl::StrCat(block, "in_proj_z.weight"), l_.naming);
    if (!qkv || !z) return std::nullopt;
    const int64_t key_width = l_.num_key_heads * l_.key_dim,
                  value_width = l_.num_key_heads * values;
    const std::vector<int64_t> qkv_shape = {2 * key_width + value_width, columns_};
    for (int64_t head = 0; head < l_.num_key_heads; ++head) {
      const int64_t row = head * group;
      Add(qkv->name, qkv_shape, row, head * l_.key_dim, l_.key_dim);
      Add(qkv->name, qkv_shape, row + l_.key_dim, key_width + head * l_.key_dim, l_.key_dim);
      Add(qkv->name, qkv_shape, row + 2 * l_.key_dim, 2 * key_width + head * values, values);
      Add(z->name, {value_width, columns_}, row + 2 * l_.key_dim + values, head * values, values);
    }
    return std::move(place_);
  }

  // Tensors of linear attention: their value heads are rows, columns or, in conv1d and in_proj_qkv,
  // the last of the rows.
  Result TileValueHeads(std::vector<int64_t> shape) {
    if (absl::EndsWith(stored_, ".ssm_a")) place_.map = ValueMap::kNegatedExp;
    const bool straight = absl::EndsWith(stored_, "ssm_norm.weight") ||
                          absl::EndsWith(stored_, "ssm_in.weight") ||
                          absl::EndsWith(stored_, "ssm_ba.weight");
    if (straight || !l_.tiles_value_heads()) return Whole(std::move(shape));
    const int64_t heads = l_.num_value_heads;
    if (absl::EndsWith(stored_, ".ssm_a") || absl::EndsWith(stored_, "ssm_dt.bias") ||
        absl::EndsWith(stored_, "ssm_out.weight")) {
      const int64_t width = absl::EndsWith(stored_, "ssm_out.weight") ? l_.value_dim : 1;
      if (columns_ != heads * width)
        return BadShape(name_, absl::StrCat("has not ", heads * width, " columns"));
      for (int64_t c = 0; c < columns_; ++c)
        place_.stored_columns.push_back(
            static_cast<int32_t>(StoredHead(c / width) * width + c % width));
      return Whole(std::move(shape));
    }
    const bool behind_keys =
        absl::EndsWith(stored_, "attn_qkv.weight") || absl::EndsWith(stored_, "ssm_conv1d.weight");
    const int64_t before = behind_keys ? 2 * l_.num_key_heads * l_.key_dim : 0;
    const bool narrow =
        absl::EndsWith(stored_, "ssm_beta.weight") || absl::EndsWith(stored_, "ssm_alpha.weight");
    const int64_t width = narrow ? 1 : l_.value_dim;
    if (rows_ != before + heads * width)
      return BadShape(name_, absl::StrCat("has not ", before + heads * width, " rows"));
    if (before > 0) Add(stored_, shape, 0, 0, before);
    for (int64_t head = 0; head < heads; ++head)
      Add(stored_, shape, before + head * width, before + StoredHead(head) * width, width);
    return std::move(place_);
  }
  int64_t StoredHead(int64_t head) const {
    const int64_t ratio = l_.num_value_heads / l_.num_key_heads;
    return head % ratio * l_.num_key_heads + head / ratio;
  }

  Result LlamaHeads() {
    const int64_t extent = shape_.size() == 1 ? columns_ : rows_;
    if (extent % l_.llama_head_dim != 0)
      return BadShape(name_,
                      absl::StrCat(extent, " rows are no whole heads of ", l_.llama_head_dim));
    if (shape_.size() == 1) {
      for (int64_t c = 0; c < columns_; ++c)
        place_.stored_columns.push_back(static_cast<int32_t>(LlamaStoredRow(c, l_.llama_head_dim)));
    } else {
      place_.llama_head_dim = l_.llama_head_dim;
    }
    return Whole(shape_);
  }

  const GgufLayout& l_;
  const absl::string_view name_;
  const std::vector<int64_t>& shape_;
  const int64_t rows_, columns_;
  std::string stored_;
  TensorPlace place_;
};

// The tensors of a stack of experts. `name` has '*' for their number.
std::vector<HfTensor> ExpertsOf(const GgufLayout& layout, const std::string& name,
                                const std::vector<int64_t>& shape) {
  std::vector<HfTensor> tensors;
  if (layout.stacked_experts) {
    const absl::string_view block(name.data(), name.find("mlp.experts."));
    if (absl::EndsWith(name, "down_proj.weight"))
      return {{absl::StrCat(block, kStackedDown), shape}};
    return {{absl::StrCat(block, kStackedGateUp), {shape[0], 2 * shape[1], shape[2]}}};
  }
  for (int64_t e = 0; e < shape[0]; ++e)
    tensors.push_back({absl::StrReplaceAll(name, {{"*", absl::StrCat(e)}}), {shape[1], shape[2]}});
  return tensors;
}

}  // namespace

GgufLayout LayoutOf(const Json& config) {
  auto number = [&](const char* key) { return config.value(key, int64_t{0}); };
  GgufLayout layout;
  layout.architecture = GgufArchitecture(config.value("model_type", "")).value_or("");
  layout.naming = {IsHybridArchitecture(layout.architecture), number("num_hidden_layers")};
  layout.num_experts = number("num_experts");
  layout.stacked_experts = layout.architecture == "qwen35moe";
  if (layout.architecture == "llama") {
    layout.llama_head_dim = number("head_dim");
    const int64_t heads = number("num_attention_heads");
    if (layout.llama_head_dim == 0 && heads > 0)
      layout.llama_head_dim = number("hidden_size") / heads;
  }
  if (!layout.naming.hybrid) return layout;
  layout.num_key_heads = number("linear_num_key_heads");
  layout.num_value_heads = number("linear_num_value_heads");
  layout.key_dim = number("linear_key_head_dim");
  layout.value_dim = number("linear_value_head_dim");
  return layout;
}

float ToStored(ValueMap map, float value) {
  switch (map) {
    case ValueMap::kSame:
      return value;
    case ValueMap::kPlusOne:
      return value + 1.0f;
    case ValueMap::kNegatedExp:
      return -std::exp(value);
  }
  return value;
}

float FromStored(ValueMap map, float stored) {
  switch (map) {
    case ValueMap::kSame:
      return stored;
    case ValueMap::kPlusOne:
      return stored - 1.0f;
    case ValueMap::kNegatedExp:  // in double, so that the round trip errs by one rounding
      return static_cast<float>(std::log(-static_cast<double>(stored)));
  }
  return stored;
}

absl::StatusOr<std::optional<TensorPlace>> PlaceOf(const GgufLayout& layout, absl::string_view name,
                                                   const std::vector<int64_t>& shape) {
  if (shape.empty()) return BadShape(name, "has no dims");
  return Placing(layout, name, shape).Run();
}

absl::StatusOr<std::vector<HfTensor>> HfTensorsOf(const GgufLayout& layout, absl::string_view name,
                                                  const std::vector<int64_t>& shape) {
  // One stack of gate and up has the name of neither.
  const bool fused = absl::StrContains(name, "ffn_gate_up_exps");
  const std::optional<HfName> found =
      ToHfName(fused ? absl::StrReplaceAll(name, {{"ffn_gate_up_exps", "ffn_gate_exps"}})
                     : std::string(name),
               layout.naming);
  if (!found) return std::vector<HfTensor>{};
  if (found->experts) {
    if (shape.size() != 3) return BadShape(name, "a stack of experts has 3 dims");
    if (shape[0] != layout.num_experts)
      return BadShape(name,
                      absl::StrCat("holds ", shape[0], " experts, expert_count says otherwise"));
    if (!fused) return ExpertsOf(layout, found->name, shape);
    if (shape[1] % 2 != 0) return BadShape(name, "a stack of gate and up has an even second dim");
    const std::vector<int64_t> half = {shape[0], shape[1] / 2, shape[2]};
    std::vector<HfTensor> tensors = ExpertsOf(layout, found->name, half);
    if (layout.stacked_experts) return tensors;
    const std::string up = absl::StrReplaceAll(found->name, {{"gate_proj", "up_proj"}});
    for (HfTensor& tensor : ExpertsOf(layout, up, half)) tensors.push_back(std::move(tensor));
    return tensors;
  }
  if (shape.size() > 2) return BadShape(name, "has more than 2 dims");
  // Hugging Face's gate of the shared expert is a matrix of one row, its convolution has a dim
  // more.
  if (absl::EndsWith(found->name, "shared_expert_gate.weight") && shape.size() == 1)
    return std::vector<HfTensor>{{found->name, {1, shape[0]}}};
  if (absl::EndsWith(found->name, "linear_attn.conv1d.weight") && shape.size() == 2)
    return std::vector<HfTensor>{{found->name, {shape[0], 1, shape[1]}}};
  const bool split = absl::EndsWith(found->name, ".in_proj_qkv.weight") ||
                     absl::EndsWith(found->name, ".in_proj_z.weight");
  if (split && layout.architecture == "qwen3next") {
    const int64_t rows =
        2 * layout.num_key_heads * layout.key_dim + 2 * layout.num_value_heads * layout.value_dim;
    const std::string whole = absl::StrReplaceAll(
        found->name, {{"in_proj_qkv.", "in_proj_qkvz."}, {"in_proj_z.", "in_proj_qkvz."}});
    return std::vector<HfTensor>{{whole, {rows, shape.back()}}};
  }
  return std::vector<HfTensor>{{found->name, shape}};
}

}  // namespace oneai::models
