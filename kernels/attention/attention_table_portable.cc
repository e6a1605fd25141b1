#include "kernels/attention/attention_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<AttentionFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, AttentionRef},
};

constexpr Variant<WriteKvFn> kWriteVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, WriteKvRef},
};

}  // namespace

absl::Span<const Variant<AttentionFn>> AttentionVariants() { return kVariants; }
absl::Span<const Variant<WriteKvFn>> WriteKvVariants() { return kWriteVariants; }

}  // namespace oneai::kernels
