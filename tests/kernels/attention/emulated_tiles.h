// The AMX attention on tiles in software, so that its loops are proved on processors without the
// unit.
#pragma once

#include "kernels/attention/attention.h"

namespace oneai::kernels {

// Rows for the tests' table; empty where the loops around the tiles do not compile.
absl::Span<const Variant<AttentionFn>> EmulatedAttentionVariants();

}  // namespace oneai::kernels
