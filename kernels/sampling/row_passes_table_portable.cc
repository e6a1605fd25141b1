#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {
namespace {

constexpr Variant<const RowPasses*> kVariants[] = {
    {"reference", CpuIsa::kReference, AnyCpu, &kRowPassesRef},

};

}  // namespace

absl::Span<const Variant<const RowPasses*>> RowPassesVariants() { return kVariants; }

}  // namespace oneai::kernels
