#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {

const RowPasses& PickedRowPasses() {
  static const RowPasses& passes = *PickVariant(RowPassesVariants(), MaxIsa()).fn;
  return passes;
}

}  // namespace oneai::kernels
