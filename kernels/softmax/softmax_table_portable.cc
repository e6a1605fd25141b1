#include "kernels/softmax/softmax_variants.h"

namespace oneai::kernels {
namespace {

constexpr Variant<LogSumExpFn> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, LogSumExpRef},
};

}  // namespace

absl::Span<const Variant<LogSumExpFn>> LogSumExpVariants() { return kVariants; }

}  // namespace oneai::kernels
