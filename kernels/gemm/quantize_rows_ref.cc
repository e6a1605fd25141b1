#include "kernels/gemm/gemm_variants.h"
#include "kernels/gemm/quantize_rows_loop.h"

namespace oneai::kernels {
namespace {

struct RefLanes {
  class Magnitudes {
   public:
    void Add(const float* x) {
      for (int i = 0; i < 16; ++i) {
        const uint32_t bits = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffffu;
        most_ = bits > most_ ? bits : most_;
      }
    }
    uint32_t Largest() const { return most_; }

   private:
    uint32_t most_ = 0;
  };

  class Encoder {
   public:
    explicit Encoder(float inverse) : inverse_(inverse) {}
    void Add(const float* x, int8_t* codes) {
      for (int i = 0; i < 16; ++i) {
        const float shifted = __builtin_fmaf(x[i], inverse_, 12582912.0f);
        const int32_t code = __builtin_bit_cast(int32_t, shifted) - 0x4b400000;
        sum_ += code;
        codes[i] = static_cast<int8_t>(code);
      }
    }
    int32_t Sum() const { return sum_; }

   private:
    const float inverse_;
    int32_t sum_ = 0;
  };
};

}  // namespace

void QuantizeRowsRef(const QuantizeRowsArgs& args, int64_t row_begin, int64_t row_end) {
  QuantizeRowsLoop<RefLanes>::Run(args, row_begin, row_end);
}

}  // namespace oneai::kernels
