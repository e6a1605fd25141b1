// Idea: as quantize_rows_avx512.cc, in two registers of 8 values.
#include <immintrin.h>

#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/quantize_rows_loop.h"

namespace oneai::kernels {
namespace {

struct Avx2Lanes {
  class Magnitudes {
   public:
    ONEAI_INLINE void Add(const float* x) {
      const __m256i mask = _mm256_set1_epi32(0x7fffffff);
      for (int half = 0; half < 2; ++half) {
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + half * 8));
        most_[half] = _mm256_max_epu32(most_[half], _mm256_and_si256(bits, mask));
      }
    }
    ONEAI_INLINE uint32_t Largest() const {
      const __m256i most = _mm256_max_epu32(most_[0], most_[1]);
      __m128i four = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
      four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
      four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
      return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
    }

   private:
    __m256i most_[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  };

  class Encoder {
   public:
    ONEAI_INLINE explicit Encoder(float inverse) : inverse_(_mm256_set1_ps(inverse)) {}
    ONEAI_INLINE void Add(const float* x, int8_t* codes) {
      __m256i code[2];
      for (int half = 0; half < 2; ++half) {
        const __m256 shifted =
            _mm256_fmadd_ps(_mm256_loadu_ps(x + half * 8), inverse_, _mm256_set1_ps(12582912.0f));
        code[half] = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(0x4b400000));
        sum_ = _mm256_add_epi32(sum_, code[half]);
      }
      // Packing works within 128 bits, so values 4-7 and 8-11 change places back.
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(code[0], code[1]), 0xd8);
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(codes),
          _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    ONEAI_INLINE int32_t Sum() const {
      __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum_), _mm256_extracti128_si256(sum_, 1));
      four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
      four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
      return _mm_cvtsi128_si32(four);
    }

   private:
    const __m256 inverse_;
    __m256i sum_ = _mm256_setzero_si256();
  };
};

}  // namespace

void QuantizeRowsAvx2(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end) {
  QuantizeRowsLoop<Avx2Lanes>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
