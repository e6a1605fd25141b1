// Random integer weights as a file would hold them, and what they mean.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cpu/float16.h"
#include "kernels/gemm/quantized_matrix.h"

namespace oneai::kernels {

// How the scales and offsets of a test matrix look, one per storage form.
enum class Grid {
  kHalfNoOffset,          // Q8_0
  kFloatNoOffset,         // Q6_K
  kHalfUniformZeroPoint,  // Q4_0
  kHalfZeroPoint,         // GPTQ, AWQ
  kHalfOffset,            // Q4_1
  kFloatOffset            // Q4_K
};
inline constexpr Grid kGrids[] = {Grid::kHalfNoOffset,         Grid::kFloatNoOffset,
                                  Grid::kHalfUniformZeroPoint, Grid::kHalfZeroPoint,
                                  Grid::kHalfOffset,           Grid::kFloatOffset};

struct TestWeights {
  std::vector<int8_t> codes;
  std::vector<float> scales, offsets;
  std::vector<int32_t> column_order;
  int64_t n, k, group_size;
  int bits;

  QuantizedMatrixView view() const {
    return {codes.data(),
            scales.data(),
            offsets.empty() ? nullptr : offsets.data(),
            column_order.empty() ? nullptr : column_order.data(),
            n,
            k,
            group_size,
            bits};
  }
  // The weight of input `column`-th code, exactly.
  double At(int64_t row, int64_t column) const {
    const int64_t group = row * (k / group_size) + column / group_size;
    return double{scales[group]} * codes[row * k + column] +
           (offsets.empty() ? 0.0 : double{offsets[group]});
  }
  int64_t InputOf(int64_t column) const {
    return column_order.empty() ? column : column_order[column];
  }
};

inline TestWeights MakeTestWeights(int64_t n, int64_t k, int64_t group_size, int bits, Grid grid,
                                   uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto between = [&](int low, int high) {
    return static_cast<int>(low + random() % (high - low + 1));
  };
  const auto half = [](float x) { return HalfToFloat(FloatToHalf(x)); };
  TestWeights w{.n = n, .k = k, .group_size = group_size, .bits = bits};
  for (int64_t i = 0; i < n * k; ++i) {
    w.codes.push_back(static_cast<int8_t>(bits == 4 ? between(0, 15) : between(-128, 127)));
  }
  const bool float_grid = grid == Grid::kFloatNoOffset || grid == Grid::kFloatOffset;
  for (int64_t i = 0; i < n * (k / group_size); ++i) {
    const float scale = static_cast<float>(between(1, 1 << 20)) * 0x1p-26f;
    w.scales.push_back(float_grid ? scale : half(scale));
    switch (grid) {
      case Grid::kHalfNoOffset:
      case Grid::kFloatNoOffset:
        break;
      case Grid::kHalfUniformZeroPoint:
        w.offsets.push_back(w.scales.back() * -8.0f);
        break;
      case Grid::kHalfZeroPoint:
        w.offsets.push_back(w.scales.back() * -static_cast<float>(between(-16, 16)));
        break;
      case Grid::kHalfOffset:
        w.offsets.push_back(half(static_cast<float>(between(-1000, 1000)) * 1.0001e-4f));
        break;
      case Grid::kFloatOffset:
        w.offsets.push_back(static_cast<float>(between(-1 << 20, 1 << 20)) * 0x1p-23f);
        break;
    }
  }
  return w;
}

// Gives the columns a random order, as GPTQ's act-order does.
inline void ShuffleColumns(TestWeights& w, uint64_t seed) {
  w.column_order.resize(w.k);
  std::iota(w.column_order.begin(), w.column_order.end(), 0);
  std::shuffle(w.column_order.begin(), w.column_order.end(), std::mt19937_64(seed));
}

}  // namespace oneai::kernels
