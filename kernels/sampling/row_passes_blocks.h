// Idea: a row is read in blocks of vectors; sums are taken in float32 within a block
// and in float64 over blocks. Written over GCC's vector types, which every instruction set has;
// each variant's file includes this once and says how it appends the ids of a vector. Bottleneck:
// the exponential's arithmetic, then the second level's bandwidth. Gain over plain loops: see
// benchmarks/kernels/sampling_bench.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/sampling/row_passes.h"

namespace oneai::kernels {

// `Isa` has kLanes, vectors of so many float (F), int32_t (I) and double (D), and AppendIds(mask of
// the lanes that are wanted, id of the first, out), which returns how many it wrote.
template <class Isa>
struct RowPassesOf {
  static constexpr int64_t kLanes = Isa::kLanes;
  using F = typename Isa::F;
  using I = typename Isa::I;
  using D = typename Isa::D;
  static constexpr float kLowest = -std::numeric_limits<float>::infinity();

#define ONEAI_SIMD static inline __attribute__((always_inline))
  ONEAI_SIMD F Load(const float* p) {
    F x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  ONEAI_SIMD void Store(float* p, F x) { std::memcpy(p, &x, sizeof x); }
  ONEAI_SIMD F Set(float x) { return x - F{}; }
  ONEAI_SIMD double SumLanes(F x) {
    float lane[kLanes];
    Store(lane, x);
    double sum = 0;
    for (float v : lane) sum += v;
    return sum;
  }
  ONEAI_SIMD float MaxLanes(F x) {
    float lane[kLanes], max = kLowest;
    Store(lane, x);
    for (float v : lane) max = v > max ? v : max;
    return max;
  }
  // exp(x) for x <= 0; 0 below -87 and for NaN. As ExpNonPositive (exp_nonpositive.h), in float32
  // with a polynomial of degree 7.
  ONEAI_SIMD F Exp(F x) {
    const I in_range = x > Set(-87.0f);
    const F y = in_range ? x : Set(-87.0f);
    const F shifted = y * Set(1.44269504088896341f) + Set(0x1.8p23f);
    const F n = shifted - Set(0x1.8p23f);
    const F r = (y - n * Set(0.693359375f)) - n * Set(-2.12194440e-4f);
    F p = Set(1.0f / 5040);
    p = p * r + Set(1.0f / 720);
    p = p * r + Set(1.0f / 120);
    p = p * r + Set(1.0f / 24);
    p = p * r + Set(1.0f / 6);
    p = p * r + Set(0.5f);
    p = p * r + Set(1.0f);
    p = p * r + Set(1.0f);
    const F scaled = (F)((I)p + ((I)shifted << 23));
    return in_range ? scaled : F{};
  }

  // Calls body(block, floats) for every block; that of a short one is padded with `fill`.
  template <typename Body>
  ONEAI_SIMD void ForEachBlock(const float* row, int64_t n, float fill, Body body) {
    int64_t block = 0;
    for (; (block + 1) * kRowBlock <= n; ++block) body(block, row + block * kRowBlock);
    const int64_t rest = n - block * kRowBlock;
    if (rest == 0) return;
    float padded[kRowBlock];
    for (int64_t i = 0; i < kRowBlock; ++i)
      padded[i] = i < rest ? row[block * kRowBlock + i] : fill;
    body(block, padded);
  }

  static void BlockMax(const float* logits, int64_t n, float* block_max) {
    ForEachBlock(
        logits, n, kLowest, [&](int64_t block, const float* x) __attribute__((always_inline)) {
          F max[4];
          for (F& m : max) m = Set(kLowest);
          for (int64_t i = 0; i < kRowBlock; i += 4 * kLanes) {
            for (int j = 0; j < 4; ++j) {
              const F v = Load(x + i + j * kLanes);
              max[j] = v > max[j] ? v : max[j];
            }
          }
          for (int j = 1; j < 4; ++j) max[0] = max[j] > max[0] ? max[j] : max[0];
          block_max[block] = MaxLanes(max[0]);
        });
  }

  static void Weights(const float* logits, int64_t n, float max, float inverse, float threshold,
                      float* weights, double* block_sum) {
    const F top = Set(max), scale = Set(inverse), least = Set(threshold);
    ForEachBlock(
        logits, n, kLowest, [&](int64_t block, const float* x) __attribute__((always_inline)) {
          float out[kRowBlock];
          const bool is_whole = (block + 1) * kRowBlock <= n;
          float* to = is_whole ? weights + block * kRowBlock : out;
          F sum[2] = {F{}, F{}};
          for (int64_t i = 0; i < kRowBlock; i += 2 * kLanes) {
            for (int j = 0; j < 2; ++j) {
              const F v = Load(x + i + j * kLanes);
              const F weight = Exp((v - top) * scale);
              const F kept = v >= least ? weight : F{};
              Store(to + i + j * kLanes, kept);
              sum[j] += kept;
            }
          }
          block_sum[block] = SumLanes(sum[0] + sum[1]);
          if (!is_whole)
            std::memcpy(weights + block * kRowBlock, out, (n - block * kRowBlock) * sizeof(float));
        });
  }

  static void ExpSums(const float* logits, int64_t n, float max, double* block_sum) {
    const F top = Set(max);
    ForEachBlock(
        logits, n, kLowest, [&](int64_t block, const float* x) __attribute__((always_inline)) {
          F sum[4] = {F{}, F{}, F{}, F{}};
          for (int64_t i = 0; i < kRowBlock; i += 4 * kLanes) {
            for (int j = 0; j < 4; ++j) sum[j] += Exp(Load(x + i + j * kLanes) - top);
          }
          block_sum[block] = SumLanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
        });
  }

  static void SumsAbove(const float* weights, int64_t n, const float* thresholds, double* sums) {
    F bound[kNumThresholds];
    D total[kNumThresholds] = {};
    for (int t = 0; t < kNumThresholds; ++t) bound[t] = Set(thresholds[t]);
    ForEachBlock(
        weights, n, -1.0f, [&](int64_t, const float* x) __attribute__((always_inline)) {
          F sum[kNumThresholds] = {};
          for (int64_t i = 0; i < kRowBlock; i += kLanes) {
            const F v = Load(x + i);
            for (int t = 0; t < kNumThresholds; ++t) sum[t] += v >= bound[t] ? v : F{};
          }
          for (int t = 0; t < kNumThresholds; ++t) total[t] += __builtin_convertvector(sum[t], D);
        });
    for (int t = 0; t < kNumThresholds; ++t) {
      sums[t] = 0;
      for (int j = 0; j < kLanes; ++j) sums[t] += total[t][j];
    }
  }

  static int64_t GatherBetween(const float* weights, int64_t n, float low, float high, int32_t* ids,
                               double* block_sum) {
    const F from = Set(low), to = Set(high);
    int64_t count = 0;
    ForEachBlock(
        weights, n, -1.0f, [&](int64_t block, const float* x) __attribute__((always_inline)) {
          F sum = {};
          for (int64_t i = 0; i < kRowBlock; i += kLanes) {
            const F v = Load(x + i);
            const I above = v >= to;
            sum += above ? v : F{};
            count += Isa::AppendIds((v >= from) & ~above,
                                    static_cast<int32_t>(block * kRowBlock + i), ids + count);
          }
          block_sum[block] = SumLanes(sum);
        });
    return count;
  }
#undef ONEAI_SIMD

  static constexpr RowPasses kPasses = {BlockMax, Weights, ExpSums, SumsAbove, GatherBetween};
};

}  // namespace oneai::kernels
