#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<GemmFn> kBf16[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefBf16},
};
constexpr Variant<GemmFn> kF32[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefF32},
};
constexpr Variant<RoundRowsFn> kRoundRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RoundRowsRef},
};

}  // namespace

absl::Span<const Variant<GemmFn>> GemmVariants(Dtype dtype) {
  return dtype == Dtype::kBFloat16 ? absl::MakeConstSpan(kBf16) : absl::MakeConstSpan(kF32);
}

absl::Span<const Variant<RoundRowsFn>> RoundRowsVariants() { return kRoundRows; }

}  // namespace oneai::kernels
