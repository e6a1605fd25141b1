#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<AttentionFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, AttentionRef},
};

}  // namespace

absl::Span<const Variant<AttentionFn>> AttentionVariants() { return kVariants; }

}  // namespace oneai::kernels
