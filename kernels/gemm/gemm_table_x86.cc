#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

// AVX-512 without bf16 dot products (before Cooper Lake and Zen 4) takes the AVX2 path for bf16.
constexpr Variant<GemmFn> kBf16[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefBf16},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2Bf16},
    {"avx512_bf16", CpuIsa::kAvx512, HasAvx512Bf16, GemmAvx512Bf16},
    {"amx_bf16", CpuIsa::kAmx, HasAmxBf16, GemmAmxBf16},
};
constexpr Variant<GemmFn> kF32[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefF32},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2F32},
    {"avx512", CpuIsa::kAvx512, HasAvx512, GemmAvx512F32},
};
constexpr Variant<RoundRowsFn> kRoundRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RoundRowsRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, RoundRowsAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, RoundRowsAvx512},
};

}  // namespace

absl::Span<const Variant<GemmFn>> GemmVariants(Dtype dtype) {
  return dtype == Dtype::kBFloat16 ? absl::MakeConstSpan(kBf16) : absl::MakeConstSpan(kF32);
}

absl::Span<const Variant<RoundRowsFn>> RoundRowsVariants() { return kRoundRows; }

}  // namespace oneai::kernels
