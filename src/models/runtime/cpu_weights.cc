#include "models/runtime/cpu_weights.h"

#include <cstring>
#include <map>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/gemm/packed_matrix.h"

namespace oneai::models {
namespace {

using kernels::PackedMatrix;
using kernels::WeightFormat;

// Makes float16 readable by kernels, which know bfloat16 and float32.
absl::StatusOr<DenseWeight> Readable(DenseWeight dense, const WeightInfo& info) {
  if (dense.dtype != DType::kF16) return dense;
  int64_t elements = 1;
  for (const int64_t extent : info.shape) elements *= extent;
  const TensorView view{info.name,
                        dense.dtype,
                        info.shape,
                        {dense.data, static_cast<size_t>(elements * DTypeBytes(dense.dtype))}};
  ASSIGN_OR_RETURN(std::vector<float> values, ToFloat32(view));
  dense.owned = std::move(values);
  dense.dtype = DType::kF32;
  dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
  return dense;
}

kernels::Dtype KernelDtype(DType dtype) {
  return dtype == DType::kBF16 ? kernels::Dtype::kBFloat16 : kernels::Dtype::kFloat32;
}

// The Source of qwen::BindBlock that packs.
class PackingSource {
 public:
  PackingSource(const ModelConfig& config, const WeightSource& source,
                const qwen::StoredWeights& stored, const CpuWeightPolicy& policy,
                kernels::KernelContext& context, CpuWeights& weights)
      : config_(config),
        source_(source),
        stored_(stored),
        policy_(policy),
        context_(context),
        weights_(weights) {}

  absl::StatusOr<std::vector<float>> Vector(const std::string& name);
  absl::StatusOr<std::vector<float>> Norm(const std::string& name);
  absl::StatusOr<CpuOps::Embedding> Embedding(const std::string& name);
  absl::StatusOr<CpuOps::Linear> Linear(const std::string& weight, const std::string& bias);
  absl::StatusOr<CpuOps::Linear> Stacked(const qwen::RowParts& parts, const qwen::RowParts& bias);
  absl::StatusOr<CpuOps::Linear> Router(const qwen::RowParts& parts);
  absl::StatusOr<CpuOps::Experts> Experts(const std::vector<qwen::RowParts>& gate_up,
                                          const qwen::RowParts& down);

 private:
  // Tensors that are being packed, so that several parts of one are read once.
  struct Loaded {
    std::map<std::string, DenseWeight> dense;
    std::map<std::string, QuantizedWeight> quantized;
  };

  // As codes where they are stored so, else as `format`.
  absl::StatusOr<CpuOps::Linear> Pack(const qwen::RowParts& parts, WeightFormat format,
                                      Loaded& loaded);
  // Packs a matrix, unless the cache has it, and registers it as a site.
  absl::StatusOr<CpuOps::Linear> Finish(const qwen::RowParts& parts,
                                        absl::FunctionRef<absl::StatusOr<PackedMatrix>()> pack);
  absl::StatusOr<PackedMatrix> PackDense(const qwen::RowParts& parts, WeightFormat format,
                                         Loaded& loaded);
  absl::StatusOr<PackedMatrix> PackCodes(const qwen::RowParts& parts, Loaded& loaded);
  // Whether all parts are codes that can be packed together as they are.
  absl::StatusOr<bool> HaveCodes(const qwen::RowParts& parts, Loaded& loaded);
  absl::StatusOr<const DenseWeight*> LoadDense(const std::string& name, Loaded& loaded);
  WeightFormat AtLeast(WeightFormat least) const {
    return policy_.layers == WeightFormat::kFloat32 ? policy_.layers : least;
  }

  const ModelConfig& config_;
  const WeightSource& source_;
  const qwen::StoredWeights& stored_;
  const CpuWeightPolicy& policy_;
  kernels::KernelContext& context_;
  CpuWeights& weights_;
};

absl::StatusOr<std::vector<float>> PackingSource::Vector(const std::string& name) {
  const WeightInfo& info = stored_.at(name);
  ASSIGN_OR_RETURN(DenseWeight stored, source_.Dense(info.name));
  ASSIGN_OR_RETURN(DenseWeight dense, Readable(std::move(stored), info));
  if (!dense.owned.empty()) return std::move(dense.owned);
  size_t elements = 1;
  for (const int64_t extent : info.shape) elements *= static_cast<size_t>(extent);
  return ToFloat32({info.name,
                    dense.dtype,
                    info.shape,
                    {dense.data, elements * static_cast<size_t>(DTypeBytes(dense.dtype))}});
}

absl::StatusOr<std::vector<float>> PackingSource::Norm(const std::string& name) {
  ASSIGN_OR_RETURN(std::vector<float> weight, Vector(name));
  if (config_.zero_centered_norms) {
    for (float& w : weight) w += 1.0f;
  }
  return weight;
}

absl::StatusOr<CpuOps::Embedding> PackingSource::Embedding(const std::string& name) {
  const WeightInfo& info = stored_.at(name);
  ASSIGN_OR_RETURN(DenseWeight stored, source_.Dense(info.name));
  ASSIGN_OR_RETURN(weights_.embedding, Readable(std::move(stored), info));
  return CpuOps::Embedding{weights_.embedding.data, KernelDtype(weights_.embedding.dtype)};
}

absl::StatusOr<CpuOps::Linear> PackingSource::Linear(const std::string& weight,
                                                     const std::string& bias) {
  Loaded loaded;
  const bool is_head = weight == qwen::HeadName(config_);
  ASSIGN_OR_RETURN(CpuOps::Linear linear, Pack({{weight, 0, stored_.at(weight).shape[0]}},
                                               is_head ? policy_.head : policy_.layers, loaded));
  if (!bias.empty()) {
    ASSIGN_OR_RETURN(linear.bias, Vector(bias));
  }
  return linear;
}

absl::StatusOr<CpuOps::Linear> PackingSource::Stacked(const qwen::RowParts& parts,
                                                      const qwen::RowParts& bias) {
  Loaded loaded;
  // DeltaNet's b and a are narrow and steer the recurrence.
  const bool is_narrow = absl::StrContains(parts[0].name, "in_proj_b");
  const auto pack_narrow = [&] {
    return PackDense(parts, AtLeast(WeightFormat::kBFloat16), loaded);
  };
  ASSIGN_OR_RETURN(CpuOps::Linear linear,
                   is_narrow ? Finish(parts, pack_narrow) : Pack(parts, policy_.layers, loaded));
  for (const qwen::RowPart& part : bias) {
    ASSIGN_OR_RETURN(const std::vector<float> whole, Vector(part.name));
    linear.bias.insert(linear.bias.end(), whole.begin() + part.begin,
                       whole.begin() + part.begin + part.rows);
  }
  return linear;
}

absl::StatusOr<CpuOps::Linear> PackingSource::Router(const qwen::RowParts& parts) {
  Loaded loaded;
  return Finish(parts, [&] { return PackDense(parts, WeightFormat::kFloat32, loaded); });
}

absl::StatusOr<CpuOps::Experts> PackingSource::Experts(const std::vector<qwen::RowParts>& gate_up,
                                                       const qwen::RowParts& down) {
  CpuOps::Experts experts(gate_up.size());
  Loaded loaded;
  for (size_t e = 0; e < experts.size(); ++e) {
    // Stacked tensors serve all experts; those of one expert are let go after it.
    if (e > 0 && gate_up[e][0].name != gate_up[0][0].name) loaded = {};
    ASSIGN_OR_RETURN(experts[e].gate_up, Pack(gate_up[e], policy_.layers, loaded));
    ASSIGN_OR_RETURN(experts[e].down, Pack({down[e]}, policy_.layers, loaded));
  }
  return experts;
}

absl::StatusOr<CpuOps::Linear> PackingSource::Pack(const qwen::RowParts& parts, WeightFormat format,
                                                   Loaded& loaded) {
  return Finish(parts, [&]() -> absl::StatusOr<PackedMatrix> {
    bool codes = false;
    if (!policy_.exact) {
      ASSIGN_OR_RETURN(codes, HaveCodes(parts, loaded));
    }
    return codes ? PackCodes(parts, loaded) : PackDense(parts, format, loaded);
  });
}

absl::StatusOr<CpuOps::Linear> PackingSource::Finish(
    const qwen::RowParts& parts, absl::FunctionRef<absl::StatusOr<PackedMatrix>()> pack) {
  std::string name;
  for (const qwen::RowPart& part : parts)
    absl::StrAppend(&name, part.name, "[", part.begin, "+", part.rows, "]");
  absl::StatusOr<PackedMatrix> packed =
      weights_.cache != nullptr ? weights_.cache->Get(name, pack) : pack();
  if (!packed.ok())
    return Annotate(packed.status(),
                    absl::StrCat(source_.source(), ": tensor '", parts[0].name, "'"));
  CpuOps::Linear linear;
  linear.weight = *std::move(packed);
  linear.site = static_cast<int32_t>(weights_.sites.size());
  weights_.sites.push_back({parts, linear.weight.k()});
  weights_.bytes += linear.weight.bytes();
  return linear;
}

absl::StatusOr<const DenseWeight*> PackingSource::LoadDense(const std::string& name,
                                                            Loaded& loaded) {
  const auto found = loaded.dense.find(name);
  if (found != loaded.dense.end()) return &found->second;
  const WeightInfo& info = stored_.at(name);
  ASSIGN_OR_RETURN(DenseWeight stored, source_.Dense(info.name));
  ASSIGN_OR_RETURN(DenseWeight dense, Readable(std::move(stored), info));
  return &loaded.dense.emplace(name, std::move(dense)).first->second;
}

absl::StatusOr<PackedMatrix> PackingSource::PackDense(const qwen::RowParts& parts,
                                                      WeightFormat format, Loaded& loaded) {
  std::vector<kernels::MatrixView> views;
  for (const qwen::RowPart& part : parts) {
    ASSIGN_OR_RETURN(const DenseWeight* dense, LoadDense(part.name, loaded));
    const int64_t k = stored_.at(part.name).shape.back();
    views.push_back({.data = dense->data + part.begin * k * DTypeBytes(dense->dtype),
                     .dtype = KernelDtype(dense->dtype),
                     .n = part.rows,
                     .k = k,
                     .row_stride = k});
  }
  return PackedMatrix::Pack(views, format, context_);
}

absl::StatusOr<bool> PackingSource::HaveCodes(const qwen::RowParts& parts, Loaded& loaded) {
  for (const qwen::RowPart& part : parts) {
    if (stored_.at(part.name).encoding != WeightEncoding::kQuantized) return false;
  }
  for (const qwen::RowPart& part : parts) {
    if (loaded.quantized.contains(part.name)) continue;
    ASSIGN_OR_RETURN(QuantizedWeight weight, source_.Quantized(stored_.at(part.name).name));
    loaded.quantized.emplace(part.name, std::move(weight));
  }
  // One column order serves one product.
  const QuantizedWeight& first = loaded.quantized.at(parts[0].name);
  for (const qwen::RowPart& part : parts) {
    if (loaded.quantized.at(part.name).column_order != first.column_order) return false;
  }
  return first.k <= PackedMatrix::kIntegerDepthMax;
}

absl::StatusOr<PackedMatrix> PackingSource::PackCodes(const qwen::RowParts& parts, Loaded& loaded) {
  std::vector<kernels::QuantizedMatrixView> views;
  for (const qwen::RowPart& part : parts) {
    kernels::QuantizedMatrixView view = loaded.quantized.at(part.name).view();
    const int64_t groups = view.k / view.group_size;
    view.codes += part.begin * view.k;
    view.scales += part.begin * groups;
    if (view.offsets != nullptr) view.offsets += part.begin * groups;
    view.n = part.rows;
    views.push_back(view);
  }
  return PackedMatrix::PackQuantized(views, context_);
}

}  // namespace

CpuWeightPolicy CpuWeightPolicy::For(kernels::WeightFormat format, bool exact) {
  return {.layers = format,
          .head = format == WeightFormat::kInt4 ? WeightFormat::kInt8 : format,
          .exact = exact};
}

absl::StatusOr<CpuWeights> BindCpuWeights(const ModelConfig& config, const WeightSource& source,
                                          const CpuWeightPolicy& policy,
                                          kernels::KernelContext& context,
                                          std::shared_ptr<WeightCache> cache) {
  ASSIGN_OR_RETURN(const qwen::StoredWeights stored, qwen::MatchCheckpoint(config, source));
  CpuWeights weights;
  weights.cache = std::move(cache);
  PackingSource packing(config, source, stored, policy, context, weights);
  ASSIGN_OR_RETURN(weights.model, qwen::BindWeights<CpuOps>(config, packing));
  if (config.num_draft_layers > 0) {
    ASSIGN_OR_RETURN(weights.mtp, qwen::BindMtp<CpuOps>(config, packing));
  }
  if (weights.cache != nullptr) weights.cache->Finish();
  return weights;
}

}  // namespace oneai::models
