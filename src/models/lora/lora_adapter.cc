#include "models/lora/lora_adapter.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "models/qwen/weights.h"

namespace oneai::models {
namespace {

constexpr absl::string_view kPrefix = "base_model.model.";
constexpr absl::string_view kModel = "model.";
constexpr absl::string_view kWeight = ".weight";

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 ||
         dtype == DType::kF64;
}

// The matrices that PEFT counts as linear: all but the embedding (and norms, which are vectors).
bool IsLinear(const qwen::WeightSpec& spec, absl::string_view embedding) {
  return spec.shape.size() == 2 && spec.name != embedding;
}

absl::StatusOr<TensorView> Factor(const Checkpoint& tensors, const std::string& name,
                                  const std::vector<int64_t>& shape) {
  const TensorView* found = tensors.Find(name);
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(tensors.source(), ": tensor '", name,
                                                   "' is missing although target_modules ",
                                                   "selects its module"));
  }
  if (found->shape != shape || !IsFloat(found->dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat(tensors.source(), ": tensor '", name, "' is ", DTypeName(found->dtype), " [",
                     absl::StrJoin(found->shape, ", "), "] where floating-point [",
                     absl::StrJoin(shape, ", "), "] is expected"));
  }
  return *found;
}

// What an adapter's names have where the table has "model.": adapters of bare models (embedding
// models) nothing, those of vision-language models the text part's place in them.
absl::string_view StemOf(const Checkpoint& tensors) {
  constexpr absl::string_view kVisionText = "model.language_model.";
  absl::string_view stem;
  for (const TensorView& tensor : tensors.tensors()) {
    const absl::string_view name = absl::StripPrefix(tensor.name, kPrefix);
    if (absl::StartsWith(name, kVisionText)) return kVisionText;
    if (absl::StartsWith(name, kModel)) stem = kModel;
  }
  return stem;
}

// w += scale * b a, row by row: a row of the change is a sum of `rank` rows of a.
void AddProduct(const LoraModule& module, const std::vector<float>& a, const std::vector<float>& b,
                std::vector<float>& w) {
  const int64_t in = module.a.shape[1], out = module.b.shape[0], rank = module.rank;
  const auto scale = static_cast<float>(module.scale);
  std::vector<float> change(static_cast<size_t>(in));
  for (int64_t row = 0; row < out; ++row) {
    std::fill(change.begin(), change.end(), 0.0f);
    for (int64_t r = 0; r < rank; ++r) {
      const float factor = b[row * rank + r];
      const float* from = a.data() + r * in;
      for (int64_t i = 0; i < in; ++i) change[i] += factor * from[i];
    }
    float* to = w.data() + row * in;
    for (int64_t i = 0; i < in; ++i) to[i] += scale * change[i];
  }
}

}  // namespace

absl::StatusOr<LoraAdapter> LoraAdapter::Load(const std::filesystem::path& folder,
                                              const ModelConfig& model) {
  ASSIGN_OR_RETURN(const LoraConfig config, LoadLoraConfig(folder));
  ASSIGN_OR_RETURN(Checkpoint tensors, Checkpoint::OpenFile(folder / "adapter_model.safetensors"));
  LoraAdapter adapter(std::move(tensors));
  RETURN_IF_ERROR(adapter.Match(config, model));
  return adapter;
}

absl::Status LoraAdapter::Match(const LoraConfig& config, const ModelConfig& model) {
  const absl::string_view stem = StemOf(tensors_);
  absl::flat_hash_set<std::string> explained;
  for (const qwen::WeightSpec& spec : qwen::WeightTable(model)) {
    absl::string_view name = spec.name;
    if (!absl::ConsumeSuffix(&name, kWeight)) continue;
    if (!SelectsModule(config, name)) continue;
    if (!IsLinear(spec, qwen::EmbeddingName(model))) {
      // all-linear passes over them; a name in the list asks for what LoRA here does not do.
      if (config.all_linear) continue;
      return absl::UnimplementedError(absl::StrCat(tensors_.source(), ": target_modules selects '",
                                                   name, "', which is no linear layer"));
    }
    const std::string module = absl::StartsWith(name, kModel)
                                   ? absl::StrCat(kPrefix, stem, absl::StripPrefix(name, kModel))
                                   : absl::StrCat(kPrefix, name);
    LoraModule found{.weight = spec.name,
                     .rank = RankOf(config, name),
                     .scale = ScaleOf(config, name),
                     .a = {},
                     .b = {}};
    ASSIGN_OR_RETURN(found.a,
                     Factor(tensors_, module + ".lora_A.weight", {found.rank, spec.shape[1]}));
    ASSIGN_OR_RETURN(found.b,
                     Factor(tensors_, module + ".lora_B.weight", {spec.shape[0], found.rank}));
    explained.insert(found.a.name), explained.insert(found.b.name);
    modules_.push_back(std::move(found));
  }
  for (const TensorView& tensor : tensors_.tensors()) {
    if (explained.contains(tensor.name)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(tensors_.source(), ": tensor '", tensor.name,
                     "' belongs to no module of this model that target_modules selects"));
  }
  if (modules_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(tensors_.source(), ": target_modules selects no module of this model"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> MergeAdapter(const ModelConfig& model, const Checkpoint& base,
                                        const LoraAdapter& adapter) {
  ASSIGN_OR_RETURN(const qwen::StoredWeights stored, qwen::MatchCheckpoint(model, base));
  Checkpoint merged = base;
  for (const LoraModule& module : adapter.modules()) {
    const auto weight = stored.find(module.weight);
    if (weight == stored.end() ||
        weight->second.shape != std::vector<int64_t>{module.b.shape[0], module.a.shape[1]}) {
      return absl::InvalidArgumentError(
          absl::StrCat(base.source(), ": the adapter was loaded for a model with another '",
                       module.weight, "'"));
    }
    ASSIGN_OR_RETURN(const TensorView tensor, base.Get(weight->second.name));
    ASSIGN_OR_RETURN(std::vector<float> w, ToFloat32(tensor));
    ASSIGN_OR_RETURN(const std::vector<float> a, ToFloat32(module.a));
    ASSIGN_OR_RETURN(const std::vector<float> b, ToFloat32(module.b));
    AddProduct(module, a, b, w);
    RETURN_IF_ERROR(merged.Replace(weight->second.name, std::move(w)));
  }
  return merged;
}

}  // namespace oneai::models
