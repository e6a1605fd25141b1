// Defines "correct": float64 sums around the row's maximum.
#include <cmath>
#include <limits>

#include "kernels/softmax/softmax_variants.h"

namespace oneai::kernels {

float LogSumExpRef(const float* row, int64_t vocab) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < vocab; ++i) max = row[i] > max ? row[i] : max;
  if (std::isinf(max)) return max;  // all -inf, or a +inf that outweighs everything
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(double{row[i]} - max);
  return static_cast<float>(max + std::log(sum));
}

}  // namespace oneai::kernels
