#include "models/weights/checkpoint_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

bool IsAligned(const TensorView& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data.data()) % DTypeBytes(tensor.dtype) == 0;
}

class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {
    for (const TensorView& tensor : checkpoint_.tensors())
      infos_.push_back({tensor.name, tensor.shape, WeightEncoding::kDense, tensor.dtype,
                        std::string(DTypeName(tensor.dtype))});
  }

  const std::string& source() const override { return checkpoint_.source(); }
  absl::Span<const WeightInfo> weights() const override { return infos_; }

  absl::StatusOr<DenseWeight> Dense(absl::string_view name) const override {
    ASSIGN_OR_RETURN(const TensorView tensor, checkpoint_.Get(name));
    DenseWeight dense{tensor.dtype, tensor.data.data(), {}};
    const bool readable =
        tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kF32;
    if (readable && IsAligned(tensor)) return dense;
    ASSIGN_OR_RETURN(dense.owned, ToFloat32(tensor));
    dense.dtype = DType::kF32;
    dense.data = reinterpret_cast<const std::byte*>(dense.owned.data());
    return dense;
  }

  absl::StatusOr<QuantizedWeight> Quantized(absl::string_view name) const override {
    return absl::FailedPreconditionError(
        absl::StrCat(source(), ": tensor '", name, "' is not quantised"));
  }

 private:
  const Checkpoint checkpoint_;
  std::vector<WeightInfo> infos_;
};

}  // namespace

std::shared_ptr<const WeightSource> SourceOf(Checkpoint checkpoint) {
  return std::make_shared<CheckpointSource>(std::move(checkpoint));
}

}  // namespace oneai::models
