#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/asic/asic_device.h"
#include "tests/kernels/random_tensor.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string EmulatorPath() {
  return (testing::BinDir().parent_path() / "lib" / "liboneai_asic_emulator.so").string();
}

OneaiAsicTensor Tensor(OneaiAsicDtype dtype, uint32_t rows, uint32_t cols, bool is_bound) {
  return {sizeof(OneaiAsicTensor), static_cast<uint32_t>(dtype), rows, cols, is_bound ? 1u : 0u};
}

OneaiAsicOp Op(OneaiAsicOpcode opcode, std::vector<uint32_t> inputs, uint32_t output,
               float parameter = 0) {
  inputs.resize(3, ONEAI_ASIC_NO_TENSOR);
  return {sizeof(OneaiAsicOp),
          static_cast<uint32_t>(opcode),
          {inputs[0], inputs[1], inputs[2]},
          output,
          parameter};
}

template <typename T>
absl::Span<const std::byte> Bytes(const std::vector<T>& v) {
  return {reinterpret_cast<const std::byte*>(v.data()), v.size() * sizeof(T)};
}
template <typename T>
absl::Span<std::byte> MutableBytes(std::vector<T>& v) {
  return {reinterpret_cast<std::byte*>(v.data()), v.size() * sizeof(T)};
}

template <typename T>
AsicBuffer Upload(const AsicPlugin& plugin, const std::vector<T>& values) {
  absl::StatusOr<AsicBuffer> buffer = plugin.Allocate(0, values.size() * sizeof(T));
  EXPECT_OK(buffer);
  EXPECT_OK(buffer->CopyFrom(Bytes(values)));
  return *std::move(buffer);
}

TEST(AsicPluginTest, ShowsTheDevicesItWasAskedForAndSaysThatItEmulates) {
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin,
                       AsicPlugin::Load(EmulatorPath(), {.num_devices = 3}));
  ASSERT_OK_AND_ASSIGN(const std::vector<AsicDeviceInfo> devices, plugin.Devices());
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[2].kind, "hanguang-800");
  EXPECT_THAT(devices[2].name, HasSubstr("emulator"));
  EXPECT_THAT(plugin.vendor(), HasSubstr("emulator"));
  EXPECT_EQ(devices[2].memory_bytes, uint64_t{16} << 30);
  EXPECT_TRUE(devices[2].has_int8);
}

TEST(AsicPluginTest, RefusesWhatIsNoPlugin) {
  EXPECT_THAT(AsicPlugin::Load("/nonexistent/plugin.so", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/plugin.so")));
  EXPECT_THAT(AsicPlugin::Load("/proc/self/exe", {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/proc/self/exe")));
  EXPECT_THAT(AsicPlugin::Load("libm.so.6", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
  EXPECT_THAT(AsicPlugin::Load(EmulatorPath(), {.num_devices = 1000}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 64")));
}

TEST(AsicPluginTest, MemoryLimitIsEnforcedPerDevice) {
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin,
                       AsicPlugin::Load(EmulatorPath(), {.num_devices = 2, .memory_bytes = 1000}));
  {
    ASSERT_OK_AND_ASSIGN(const AsicBuffer first, plugin.Allocate(0, 600));
    EXPECT_THAT(plugin.Allocate(0, 401),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("400 of 1000 are free")));
    EXPECT_THAT(plugin.Allocate(0, UINT64_MAX),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("device 0")));
    EXPECT_OK(plugin.Allocate(1, 1000));
    ASSERT_OK_AND_ASSIGN(const std::vector<AsicDeviceInfo> devices, plugin.Devices());
    EXPECT_EQ(devices[0].memory_used_bytes, 600u);
    EXPECT_EQ(devices[1].memory_used_bytes, 0u);
  }
  EXPECT_OK(plugin.Allocate(0, 1000));
  EXPECT_THAT(plugin.Allocate(2, 1), StatusIs(absl::StatusCode::kNotFound, HasSubstr("only 2")));
}

TEST(AsicPluginTest, CopiesStayInsideTheBuffer) {
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin, AsicPlugin::Load(EmulatorPath(), {}));
  ASSERT_OK_AND_ASSIGN(AsicBuffer buffer, plugin.Allocate(0, 8));
  const std::vector<int8_t> in = {1, 2, 3};
  EXPECT_OK(buffer.CopyFrom(Bytes(in), 5));
  EXPECT_THAT(buffer.CopyFrom(Bytes(in), 6),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("buffer of 8")));
  EXPECT_THAT(buffer.CopyFrom(Bytes(in), UINT64_MAX),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("buffer of 8")));
  std::vector<int8_t> out(8, 9);
  EXPECT_OK(buffer.CopyTo(MutableBytes(out)));
  EXPECT_EQ(out, (std::vector<int8_t>{0, 0, 0, 0, 0, 1, 2, 3}));
}

// rmsnorm -> quantize -> matmul -> + bias -> silu and relu, against plain float64.
TEST(AsicProgramTest, FeedForwardBlockMatchesTheReference) {
  constexpr uint32_t kM = 5, kK = 70, kN = 33;
  constexpr float kStep = 0.03f, kEpsilon = 1e-6f;
  const std::vector<float> x = RandomFloats(kM * kK, 1), norm = RandomFloats(kK, 2);
  const std::vector<float> scale = RandomFloats(kN, 3, 0.01f), bias = RandomFloats(kN, 4);
  std::vector<int8_t> w(kN * kK);
  std::mt19937 random(5);
  for (int8_t& v : w) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);

  const OneaiAsicTensor tensors[] = {
      Tensor(ONEAI_ASIC_FLOAT32, kM, kK, true),  Tensor(ONEAI_ASIC_FLOAT32, 1, kK, true),
      Tensor(ONEAI_ASIC_INT8, kN, kK, true),     Tensor(ONEAI_ASIC_FLOAT32, 1, kN, true),
      Tensor(ONEAI_ASIC_FLOAT32, 1, kN, true),   Tensor(ONEAI_ASIC_FLOAT32, kM, kK, false),
      Tensor(ONEAI_ASIC_INT8, kM, kK, false),    Tensor(ONEAI_ASIC_FLOAT32, kM, kN, false),
      Tensor(ONEAI_ASIC_FLOAT32, kM, kN, false), Tensor(ONEAI_ASIC_FLOAT32, kM, kN, true),
      Tensor(ONEAI_ASIC_FLOAT32, kM, kN, true)};
  const OneaiAsicOp ops[] = {Op(ONEAI_ASIC_OP_RMSNORM, {0, 1}, 5, kEpsilon),
                             Op(ONEAI_ASIC_OP_QUANTIZE, {5}, 6, kStep),
                             Op(ONEAI_ASIC_OP_MATMUL_INT8, {6, 2, 3}, 7),
                             Op(ONEAI_ASIC_OP_ADD, {7, 4}, 8),
                             Op(ONEAI_ASIC_OP_SILU, {8}, 9),
                             Op(ONEAI_ASIC_OP_RELU, {8}, 10)};
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin, AsicPlugin::Load(EmulatorPath(), {}));
  ASSERT_OK_AND_ASSIGN(AsicProgram program, plugin.Compile(0, tensors, ops));
  const AsicBuffer bx = Upload(plugin, x), bnorm = Upload(plugin, norm), bw = Upload(plugin, w);
  const AsicBuffer bscale = Upload(plugin, scale), bbias = Upload(plugin, bias);
  std::vector<float> silu(kM * kN), relu(kM * kN);
  const AsicBuffer bsilu = Upload(plugin, silu), brelu = Upload(plugin, relu);
  ASSERT_OK(program.Run(
      {{0, &bx}, {1, &bnorm}, {2, &bw}, {3, &bscale}, {4, &bbias}, {9, &bsilu}, {10, &brelu}}));
  ASSERT_OK(bsilu.CopyTo(MutableBytes(silu)));
  ASSERT_OK(brelu.CopyTo(MutableBytes(relu)));

  for (uint32_t m = 0; m < kM; ++m) {
    double square = 0;
    for (uint32_t k = 0; k < kK; ++k) square += double{x[m * kK + k]} * x[m * kK + k];
    const float inverse = static_cast<float>(1.0 / std::sqrt(square / kK + kEpsilon));
    for (uint32_t n = 0; n < kN; ++n) {
      int64_t sum = 0;
      for (uint32_t k = 0; k < kK; ++k) {
        const float q = std::nearbyint(x[m * kK + k] * inverse * norm[k] / kStep);
        sum += static_cast<int64_t>(std::fmin(127.0f, std::fmax(-127.0f, q))) * w[n * kK + k];
      }
      const double linear = static_cast<double>(sum) * scale[n] + bias[n];
      // The int32 sum is exact; its conversion, product and addition round once each.
      const double tolerance =
          4 * kFloatEps * (std::abs(sum * double{scale[n]}) + std::abs(bias[n]));
      EXPECT_NEAR(relu[m * kN + n], std::fmax(linear, 0.0), tolerance);
      const double exact = linear / (1 + std::exp(-linear));
      EXPECT_NEAR(silu[m * kN + n], exact, 1.2 * tolerance + 6 * kFloatEps * std::abs(exact));
    }
  }
}

TEST(AsicProgramTest, MalformedProgramsAreRefusedWithTheReason) {
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin,
                       AsicPlugin::Load(EmulatorPath(), {.memory_bytes = 4096}));
  const OneaiAsicTensor in = Tensor(ONEAI_ASIC_FLOAT32, 2, 4, true);
  const OneaiAsicTensor out = Tensor(ONEAI_ASIC_FLOAT32, 2, 4, true);
  const auto compile = [&](std::vector<OneaiAsicTensor> tensors, std::vector<OneaiAsicOp> ops) {
    return plugin.Compile(0, tensors, ops);
  };
  const auto invalid = [](const char* text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(compile({in, out}, {}), invalid("no operation"));
  EXPECT_THAT(compile({in, out}, {Op(ONEAI_ASIC_OP_RELU, {7}, 1)}),
              invalid("operation 0: input 0"));
  EXPECT_THAT(compile({in, out}, {Op(ONEAI_ASIC_OP_RELU, {0}, 9)}), invalid("output"));
  EXPECT_THAT(compile({in, out}, {Op(ONEAI_ASIC_OP_RELU, {1}, 1)}), invalid("input 0"));
  EXPECT_THAT(
      compile({in, Tensor(ONEAI_ASIC_FLOAT32, 2, 5, true)}, {Op(ONEAI_ASIC_OP_RELU, {0}, 1)}),
      AllOf(invalid("float32 [2, 4]"), invalid("float32 [2, 5]")));
  EXPECT_THAT(compile({in, Tensor(ONEAI_ASIC_INT8, 2, 4, true)},
                      {Op(ONEAI_ASIC_OP_QUANTIZE, {0}, 1, 0.0f)}),
              invalid("positive"));
  EXPECT_THAT(
      compile({in, Tensor(ONEAI_ASIC_FLOAT32, 0, 4, true)}, {Op(ONEAI_ASIC_OP_RELU, {0}, 1)}),
      invalid("empty shape"));
  EXPECT_THAT(compile({in, out}, {Op(static_cast<OneaiAsicOpcode>(99), {0}, 1)}),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("opcode 99")));
  EXPECT_THAT(compile({in, Tensor(ONEAI_ASIC_FLOAT32, 64, 64, false), out},
                      {Op(ONEAI_ASIC_OP_RELU, {0}, 2)}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("temporaries")));
}

TEST(AsicProgramTest, BindingsAreChecked) {
  ASSERT_OK_AND_ASSIGN(const AsicPlugin plugin,
                       AsicPlugin::Load(EmulatorPath(), {.num_devices = 2}));
  const OneaiAsicTensor tensors[] = {Tensor(ONEAI_ASIC_FLOAT32, 1, 4, true),
                                     Tensor(ONEAI_ASIC_FLOAT32, 1, 4, true)};
  const OneaiAsicOp ops[] = {Op(ONEAI_ASIC_OP_RELU, {0}, 1)};
  ASSERT_OK_AND_ASSIGN(AsicProgram program, plugin.Compile(0, tensors, ops));
  ASSERT_OK_AND_ASSIGN(const AsicBuffer good, plugin.Allocate(0, 16));
  ASSERT_OK_AND_ASSIGN(const AsicBuffer small, plugin.Allocate(0, 15));
  ASSERT_OK_AND_ASSIGN(const AsicBuffer elsewhere, plugin.Allocate(1, 16));
  const auto invalid = [](const char* text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(program.Run({{0, &good}}), invalid("tensor 1 has no binding"));
  EXPECT_THAT(program.Run({{0, &good}, {1, &small}}), invalid("only 15 bytes"));
  EXPECT_THAT(program.Run({{0, &good}, {1, &elsewhere}}), invalid("another device"));
  EXPECT_THAT(program.Run({{0, &good}, {0, &good}}), invalid("already bound"));
  EXPECT_THAT(program.Run({{5, &good}}), invalid("no tensor"));
}

}  // namespace
}  // namespace oneai::kernels
