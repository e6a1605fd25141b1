#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<AttentionFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, AttentionRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, AttentionAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, AttentionAvx512},
};

}  // namespace

absl::Span<const Variant<AttentionFn>> AttentionVariants() { return kVariants; }

}  // namespace oneai::kernels
