#include "models/weights/safetensors_source.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/safetensors/checkpoint.h"

namespace oneai::models {
namespace {

bool IsAligned(const TensorView& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data.data()) % DTypeBytes(tensor.dtype) == 0;
}

class SafetensorsSource final : public WeightSource {
 public:
  explicit SafetensorsSource(Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {
    for (const TensorView& tensor : checkpoint_.tensors())
      infos_.push_back({tensor.name, tensor.shape, WeightEncoding::kDense, tensor.dtype,
                        std::string(DTypeName(tensor.dtype))});
  }

  const std::string& source() const override { return checkpoint_.source(); }
  absl::Span<const WeightInfo> weights() const override { return infos_; }

  absl::StatusOr<DenseWeight> Dense(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const TensorView tensor, checkpoint_.Get(name));
    DenseWeight dense{tensor.dtype, tensor.data.data(), {}};
    const bool kept =
        tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kF32;
    if (kept && IsAligned(tensor)) return dense;
    absl::StatusOr<std::vector<float>> values = ToFloat32(tensor);
    if (!values.ok()) return Annotate(values.status(), source());
    dense.owned = *std::move(values);
    dense.dtype = DType::kF32;
    dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
    return dense;
  }

  absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const TensorView tensor, checkpoint_.Get(name));
    return absl::FailedPreconditionError(absl::StrCat(source(), ": tensor '", name, "' is ",
                                                      DTypeName(tensor.dtype), ", not quantised"));
  }

 private:
  const Checkpoint checkpoint_;
  std::vector<WeightInfo> infos_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFolder(
    const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(folder));
  return std::make_shared<SafetensorsSource>(std::move(checkpoint));
}

absl::StatusOr<std::shared_ptr<const WeightSource>> OpenSafetensorsFile(
    const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::OpenFile(file));
  return std::make_shared<SafetensorsSource>(std::move(checkpoint));
}

}  // namespace oneai::models
