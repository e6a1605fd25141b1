#include "models/weights/safetensors_source.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "models/safetensors/checkpoint.h"
#include "models/weights/packed_integers.h"
#include "models/weights/quantization.h"
#include "models/weights/tiled_float8.h"

namespace oneai::models {
namespace {

constexpr absl::string_view kWeight = ".weight", kCodes = ".qweight", kZeros = ".qzeros",
                            kScales = ".scales", kGroupIndex = ".g_idx", kTileScales = "_scale_inv";

bool IsAligned(const TensorView& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data.data()) % DTypeBytes(tensor.dtype) == 0;
}

// scale * code + offset, inputs back in their own order.
std::vector<float> Dequantize(const QuantizedWeight& weight) {
  std::vector<float> out(weight.n * weight.k);
  const int64_t num_groups = weight.k / weight.group_size;
  for (int64_t n = 0; n < weight.n; ++n) {
    for (int64_t j = 0; j < weight.k; ++j) {
      const int64_t at = n * num_groups + j / weight.group_size;
      const float offset = weight.offsets.empty() ? 0 : weight.offsets[at];
      const int64_t k = weight.column_order.empty() ? j : weight.column_order[j];
      out[n * weight.k + k] =
          weight.scales[at] * static_cast<float>(weight.codes[n * weight.k + j]) + offset;
    }
  }
  return out;
}

DenseWeight Owning(std::vector<float> values) {
  DenseWeight dense;
  dense.owned = std::move(values);
  dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
  return dense;
}

class SafetensorsSource final : public WeightSource {
 public:
  SafetensorsSource(Checkpoint checkpoint, Quantization quantization)
      : checkpoint_(std::move(checkpoint)), quantization_(std::move(quantization)) {}

  absl::Status Index();
  const std::string& source() const override { return checkpoint_.source(); }
  absl::Span<const WeightInfo> weights() const override { return infos_; }

  absl::StatusOr<DenseWeight> Dense(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const WeightInfo* info, Get(name));
    if (info->encoding != WeightEncoding::kDense) return DenseRows(name, 0, info->shape[0]);
    const TensorView& tensor = *checkpoint_.Find(name);
    const bool kept =
        tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kF32;
    if (kept && IsAligned(tensor)) return DenseWeight{tensor.dtype, tensor.data.data(), {}};
    absl::StatusOr<std::vector<float>> values = ToFloat32(tensor);
    if (!values.ok()) return Annotate(values.status(), source());
    return Owning(*std::move(values));
  }

  absl::StatusOr<DenseWeight> DenseRows(absl::string_view name, int64_t first_row,
                                        int64_t num_rows) const override {
    ASSIGN_OR_RETURN(const WeightInfo* info, Get(name));
    if (info->encoding == WeightEncoding::kDense)
      return WeightSource::DenseRows(name, first_row, num_rows);
    if (first_row < 0 || num_rows < 0 || num_rows > info->shape[0] - first_row)
      return absl::OutOfRangeError(
          absl::StrCat(source(), ": tensor '", name, "' has ", info->shape[0], " rows"));
    if (info->encoding == WeightEncoding::kQuantized) {
      ASSIGN_OR_RETURN(const QuantizedWeight rows, Codes(name, first_row, num_rows));
      return Owning(Dequantize(rows));
    }
    const TensorView* scales = checkpoint_.Find(absl::StrCat(name, kTileScales));
    absl::StatusOr<std::vector<float>> values =
        DecodeTiledFloat8(quantization_, *checkpoint_.Find(name), *scales, first_row, num_rows);
    if (!values.ok()) return Annotate(values.status(), source());
    return Owning(*std::move(values));
  }

  absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const WeightInfo* info, Get(name));
    if (info->encoding != WeightEncoding::kQuantized)
      return absl::FailedPreconditionError(
          absl::StrCat(source(), ": tensor '", name, "' is ", info->format, ", not integer codes"));
    return Codes(name, 0, info->shape[0]);
  }

 private:
  absl::StatusOr<const WeightInfo*> Get(absl::string_view name) const {
    const WeightInfo* info = Find(name);
    if (info != nullptr) return info;
    return absl::NotFoundError(absl::StrCat(source(), ": has no tensor '", name, "'"));
  }
  absl::StatusOr<QuantizedWeight> Codes(absl::string_view name, int64_t first_row,
                                        int64_t num_rows) const {
    const absl::string_view module = absl::StripSuffix(name, kWeight);
    absl::StatusOr<QuantizedWeight> weight =
        UnpackIntegers(quantization_, PartsOf(module), name, first_row, num_rows);
    return weight.ok() ? std::move(weight) : Annotate(weight.status(), source());
  }
  PackedParts PartsOf(absl::string_view module) const {
    return {checkpoint_.Find(absl::StrCat(module, kCodes)),
            checkpoint_.Find(absl::StrCat(module, kZeros)),
            checkpoint_.Find(absl::StrCat(module, kScales)),
            checkpoint_.Find(absl::StrCat(module, kGroupIndex))};
  }
  absl::Status Add(const TensorView& tensor);
  absl::Status AddPacked(absl::string_view module);
  absl::Status AddFloat8(const TensorView& tensor);
  // Whether `tensor` is a part that another one speaks for.
  bool IsPart(const TensorView& tensor) const;

  const Checkpoint checkpoint_;
  const Quantization quantization_;
  std::vector<WeightInfo> infos_;
};

bool SafetensorsSource::IsPart(const TensorView& tensor) const {
  absl::string_view name = tensor.name;
  if (quantization_.method == QuantizationMethod::kFloat8)
    return absl::ConsumeSuffix(&name, kTileScales) && checkpoint_.Find(name) != nullptr;
  if (quantization_.method == QuantizationMethod::kNone) return false;
  for (const absl::string_view suffix : {kZeros, kScales, kGroupIndex}) {
    absl::string_view module = tensor.name;
    if (absl::ConsumeSuffix(&module, suffix) &&
        checkpoint_.Find(absl::StrCat(module, kCodes)) != nullptr)
      return true;
  }
  return false;
}

absl::Status SafetensorsSource::AddPacked(absl::string_view module) {
  const std::string name = absl::StrCat(module, kWeight);
  if (IsPlainModule(quantization_, module))
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", module, kCodes, "': modules_to_not_convert says that this module is plain"));
  if (checkpoint_.Find(name) != nullptr)
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "': is stored both plain and packed"));
  ASSIGN_OR_RETURN(std::vector<int64_t> shape, PackedShape(quantization_, PartsOf(module), name));
  const std::string group =
      quantization_.group_size < 0 ? "" : absl::StrCat(" g", quantization_.group_size);
  infos_.push_back({name, std::move(shape), WeightEncoding::kQuantized, DType::kF16,
                    absl::StrCat(quantization_.method == QuantizationMethod::kAwq ? "AWQ" : "GPTQ",
                                 " int", quantization_.bits, group)});
  return absl::OkStatus();
}

absl::Status SafetensorsSource::AddFloat8(const TensorView& tensor) {
  const absl::string_view module = absl::StripSuffix(tensor.name, kWeight);
  if (IsPlainModule(quantization_, module))
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", tensor.name, "': modules_to_not_convert says that this module is plain"));
  RETURN_IF_ERROR(CheckTiledFloat8(quantization_, tensor,
                                   checkpoint_.Find(absl::StrCat(tensor.name, kTileScales))));
  infos_.push_back(
      {tensor.name, tensor.shape, WeightEncoding::kBlockFloat8, DType::kF8E4M3,
       absl::StrCat("FP8 ", quantization_.tile_rows, "x", quantization_.tile_columns)});
  return absl::OkStatus();
}

absl::Status SafetensorsSource::Add(const TensorView& tensor) {
  if (IsPart(tensor)) return absl::OkStatus();
  absl::string_view module = tensor.name;
  const bool integers = quantization_.method == QuantizationMethod::kGptq ||
                        quantization_.method == QuantizationMethod::kAwq;
  if (integers && absl::ConsumeSuffix(&module, kCodes)) return AddPacked(module);
  if (tensor.dtype == DType::kF8E4M3 && quantization_.method == QuantizationMethod::kFloat8)
    return AddFloat8(tensor);
  if (tensor.dtype == DType::kF8E4M3 || tensor.dtype == DType::kF8E5M2)
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", tensor.name, "': is ", DTypeName(tensor.dtype),
                     ", but config.json has no quantization_config that says what it means"));
  infos_.push_back({tensor.name, tensor.shape, WeightEncoding::kDense, tensor.dtype,
                    std::string(DTypeName(tensor.dtype))});
  return absl::OkStatus();
}

absl::Status SafetensorsSource::Index() {
  for (const TensorView& tensor : checkpoint_.tensors())
    RETURN_IF_ERROR(Annotate(Add(tensor), source()));
  std::sort(infos_.begin(), infos_.end(),
            [](const WeightInfo& a, const WeightInfo& b) { return a.name < b.name; });
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const WeightSource>> MakeSource(Checkpoint checkpoint,
                                                               Quantization quantization) {
  auto source = std::make_shared<SafetensorsSource>(std::move(checkpoint), std::move(quantization));
  RETURN_IF_ERROR(source->Index());
  return source;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFolder(
    const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
  Quantization quantization;
  const std::filesystem::path config = folder / "config.json";
  std::error_code ignored;
  if (std::filesystem::exists(config, ignored)) {
    ASSIGN_OR_RETURN(const Json json, ReadJsonFile(config));
    ASSIGN_OR_RETURN(quantization, ReadQuantization(json, config.string()));
  }
  return MakeSource(std::move(checkpoint), std::move(quantization));
}

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFile(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::OpenFile(file));
  return MakeSource(std::move(checkpoint), Quantization());
}

}  // namespace oneai::models
