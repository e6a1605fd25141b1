#include "kernels/rmsnorm/rmsnorm_cuda.h"

#include <cuda_runtime_api.h>

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/random_tensor.h"

namespace oneai::kernels {
namespace {

// Device memory with a copy of `values`.
class DeviceFloats {
 public:
  explicit DeviceFloats(const std::vector<float>& values) : count_(values.size()) {
    EXPECT_EQ(cudaMalloc(&data_, count_ * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, values.data(), count_ * sizeof(float), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~DeviceFloats() { cudaFree(data_); }
  DeviceFloats(const DeviceFloats&) = delete;
  DeviceFloats& operator=(const DeviceFloats&) = delete;

  float* data() const { return static_cast<float*>(data_); }
  std::vector<float> Read() const {
    std::vector<float> values(count_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, count_ * sizeof(float), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  const size_t count_;
  void* data_ = nullptr;
};

TEST(RmsNormCudaTest, MatchesTheReferenceWithTailsAndStrides) {
  int num_devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&num_devices);
  if (error != cudaSuccess || num_devices == 0) {
    GTEST_SKIP() << "no CUDA device here: " << cudaGetErrorString(error);
  }
  constexpr int64_t kRows = 9;
  for (const int64_t dim : {1, 31, 128, 1000, 1024, 5120}) {
    const int64_t stride = dim + 3;
    const std::vector<float> x = RandomFloats(kRows * stride, 1), weight = RandomFloats(dim, 2);
    std::vector<float> expected(kRows * stride, 7.0f);
    const DeviceFloats device_x(x), device_weight(weight), device_y(expected);
    RmsNormArgs args{.x = x.data(),
                     .x_stride = stride,
                     .weight = weight.data(),
                     .y = expected.data(),
                     .y_stride = stride,
                     .num_rows = kRows,
                     .dim = dim};
    RmsNormVariants().front().fn(args, nullptr, nullptr, 0, 0, kRows);
    args.x = device_x.data();
    args.weight = device_weight.data();
    args.y = device_y.data();
    ASSERT_EQ(RmsNormCuda(args, nullptr), 0);
    const std::vector<float> y = device_y.Read();
    for (int64_t i = 0; i < kRows * stride; ++i) {
      // As in rmsnorm_test.cc: the sum's error, halved by the root, and a few roundings.
      const double tolerance =
          (0.5 * static_cast<double>(dim) + 8) * kFloatEps * std::abs(expected[i]) + kFloatMin;
      ASSERT_NEAR(y[i], expected[i], tolerance) << "dim " << dim << " at " << i;
    }
  }
}

}  // namespace
}  // namespace oneai::kernels
