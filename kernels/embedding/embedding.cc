// Bound by memory latency and nothing else, so there is one variant.
#include "kernels/embedding/embedding.h"

#include <cstring>

namespace oneai::kernels {

void Embedding(const EmbeddingArgs& args, KernelContext& ctx) {
  const auto* table = static_cast<const std::byte*>(args.table);
  const int64_t row_bytes = args.dim * DtypeBytes(args.dtype);
  ctx.threads().ParallelFor(args.num_tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t token = begin; token < end; ++token) {
      const std::byte* row = table + int64_t{args.ids[token]} * row_bytes;
      float* y = args.y + token * args.y_stride;
      if (args.dtype == Dtype::kFloat32) {
        std::memcpy(y, row, row_bytes);
        continue;
      }
      for (int64_t i = 0; i < args.dim; ++i) {
        BFloat16 x;
        std::memcpy(&x, row + i * 2, 2);
        y[i] = ToFloat(x);
      }
    }
  });
}

}  // namespace oneai::kernels
