#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {
namespace {

constexpr Variant<const RowPasses*> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, &kRowPassesRef},
    {"avx2", CpuIsa::kAvx2, HasAvx2, &kRowPassesAvx2},
    {"avx512", CpuIsa::kAvx512, HasAvx512, &kRowPassesAvx512},
};

}  // namespace

absl::Span<const Variant<const RowPasses*>> RowPassesVariants() { return kVariants; }

}  // namespace oneai::kernels
