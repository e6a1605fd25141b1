#include "kernels/gemm/gemm_variants.h"

namespace oneai::kernels {
namespace {

// AVX-512 without the dot products of a format (bf16: before Cooper Lake and Zen 4; VNNI: before
// Cascade Lake and Zen 4) takes the AVX2 path.
constexpr Variant<GemmFn> kF32[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefF32},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2F32},
    {"avx512", CpuIsa::kAvx512, HasAvx512, GemmAvx512F32},
};
constexpr Variant<GemmFn> kBf16[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefBf16},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2Bf16},
    {"avx512_bf16", CpuIsa::kAvx512, HasAvx512Bf16, GemmAvx512Bf16},
    {"amx_bf16", CpuIsa::kAmx, HasAmxBf16, GemmAmxBf16},
};
constexpr Variant<GemmFn> kInt8[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefInt},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2Int8},
    {"avx512_vnni", CpuIsa::kAvx512, HasAvx512Vnni, GemmVnniInt8},
    {"amx_int8", CpuIsa::kAmx, HasAmxInt8, GemmAmxInt8},
};
constexpr Variant<GemmFn> kInt4[] = {
    {"reference", CpuIsa::kReference, AnyCpu, GemmRefInt},
    {"avx2", CpuIsa::kAvx2, HasAvx2, GemmAvx2Int4},
    {"avx512_vnni", CpuIsa::kAvx512, HasAvx512Vnni, GemmVnniInt4},
    {"amx_int8", CpuIsa::kAmx, HasAmxInt8, GemmAmxInt4},
};
constexpr Variant<RoundRowsFn> kRoundRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, RoundRowsRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, RoundRowsAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, RoundRowsAvx512},
};
constexpr Variant<QuantizeRowsFn> kQuantizeRows[] = {
    {"reference", CpuIsa::kReference, AnyCpu, QuantizeRowsRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, QuantizeRowsAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, QuantizeRowsAvx512},
};

}  // namespace

absl::Span<const Variant<GemmFn>> GemmVariants(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32:
      return kF32;
    case WeightFormat::kBFloat16:
      return kBf16;
    case WeightFormat::kInt8:
      return kInt8;
    case WeightFormat::kInt4:
      return kInt4;
  }
  return {};
}

absl::Span<const Variant<RoundRowsFn>> RoundRowsVariants() { return kRoundRows; }
absl::Span<const Variant<QuantizeRowsFn>> QuantizeRowsVariants() { return kQuantizeRows; }

}  // namespace oneai::kernels
