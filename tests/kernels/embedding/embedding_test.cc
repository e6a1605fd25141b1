#include "kernels/embedding/embedding.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

TEST(EmbeddingTest, GathersRowsOfAnUnalignedTable) {
  constexpr int64_t kIds = 10, kDim = 21;
  const std::vector<float> table = RandomFloats(kIds * kDim, 1);
  const std::vector<BFloat16> rounded = ToBFloat16s(table);
  const int32_t ids[] = {9, 0, 9, 4};
  KernelContext ctx(2);
  for (const Dtype dtype : {Dtype::kFloat32, Dtype::kBFloat16}) {
    const void* source = dtype == Dtype::kFloat32 ? static_cast<const void*>(table.data())
                                                  : static_cast<const void*>(rounded.data());
    std::vector<std::byte> bytes(kIds * kDim * DtypeBytes(dtype) + 1);
    std::memcpy(bytes.data() + 1, source, bytes.size() - 1);
    std::vector<float> y(4 * (kDim + 2), 5.0f);
    Embedding({.table = bytes.data() + 1,
               .dtype = dtype,
               .ids = ids,
               .y = y.data(),
               .y_stride = kDim + 2,
               .num_tokens = 4,
               .dim = kDim},
              ctx);
    for (int t = 0; t < 4; ++t) {
      for (int64_t i = 0; i < kDim; ++i) {
        const int64_t at = ids[t] * kDim + i;
        const float expected = dtype == Dtype::kFloat32 ? table[at] : ToFloat(rounded[at]);
        ASSERT_EQ(y[t * (kDim + 2) + i], expected);
      }
      EXPECT_EQ(y[t * (kDim + 2) + kDim], 5.0f);
    }
  }
  Embedding({.num_tokens = 0, .dim = kDim}, ctx);
}

}  // namespace
}  // namespace oneai::kernels
