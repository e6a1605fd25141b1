#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

// Both read int8 caches with vpermi2b; the only processor with bf16 and without it is Cooper Lake.
bool HasBf16Pairs(const CpuFeatures& f) { return HasAvx512Bf16(f) && f.avx512_vbmi; }
bool HasBf16Tiles(const CpuFeatures& f) { return HasBf16Pairs(f) && f.amx_bf16; }

constexpr Variant<AttentionFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, AttentionRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, AttentionAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, AttentionAvx512},
    {"avx512_bf16", CpuIsa::kAvx512, HasBf16Pairs, AttentionAvx512Bf16},
    {"amx_bf16", CpuIsa::kAmx, HasBf16Tiles, AttentionAmxBf16},
};

constexpr Variant<WriteKvFn> kWriteVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, WriteKvRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, WriteKvAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, WriteKvAvx512},
};

}  // namespace

absl::Span<const Variant<AttentionFn>> AttentionVariants() { return kVariants; }
absl::Span<const Variant<WriteKvFn>> WriteKvVariants() { return kWriteVariants; }

}  // namespace oneai::kernels
