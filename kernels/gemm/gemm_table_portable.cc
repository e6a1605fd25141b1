#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<GemmFn> kF32[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefF32},
};
constexpr Variant<GemmFn> kBf16[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefBf16},
};
constexpr Variant<GemmFn> kInt[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefInt},
};
constexpr Variant<RoundRowsFn> kRoundRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RoundRowsRef},
};
constexpr Variant<QuantizeRowsFn> kQuantizeRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, QuantizeRowsRef},
};

}  // namespace

absl::Span<const Variant<GemmFn>> GemmVariants(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
      return kF32;
    case WeightFormat::kBFloat16:
      return kBf16;
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      return kInt;
  }
  return {};
}

absl::Span<const Variant<RoundRowsFn>> RoundRowsVariants() { return kRoundRows; }
absl::Span<const Variant<QuantizeRowsFn>> QuantizeRowsVariants() { return kQuantizeRows; }

}  // namespace oneai::kernels
