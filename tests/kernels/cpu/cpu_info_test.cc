#include "kernels/cpu/cpu_info.h"

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/variant.h"
#include "tests/testing/status_matchers.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

TEST(CpuInfoTest, ReportsTheMachine) {
  const CpuInfo& info = GetCpuInfo();
  EXPECT_FALSE(info.architecture.empty());
  EXPECT_GE(info.num_cpus, 1);
  EXPECT_GT(info.memory_bytes, 0);
  EXPECT_GT(info.memory_limit_bytes, 0);
  EXPECT_LE(info.memory_limit_bytes, info.memory_bytes);
  // A level contains those before it.
  EXPECT_TRUE(info.features.avx512 || !info.features.avx512_bf16);
  EXPECT_TRUE(info.features.avx2 || !info.features.avx512);
}

TEST(CpuInfoTest, NamesRoundTripAndUnknownOnesAreRefused) {
  for (const CpuIsa isa : {CpuIsa::kReference, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAmx}) {
    EXPECT_EQ(*ParseIsa(IsaName(isa)), isa);
  }
  EXPECT_THAT(ParseIsa("sse9"), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("reference, avx2, avx512, amx")));
}

TEST(CpuInfoTest, LimitHoldsUntilKernelsArePicked) {
  EXPECT_OK(SetMaxIsa(CpuIsa::kReference));
  EXPECT_EQ(MaxIsa(), CpuIsa::kReference);
  EXPECT_THAT(SetMaxIsa(CpuIsa::kReference),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already picked")));
  if (SupportedIsa() != CpuIsa::kAmx) {
    EXPECT_THAT(SetMaxIsa(CpuIsa::kAmx),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no amx")));
  }
}

TEST(VariantTest, PicksTheFastestSupportedRowWithinTheLimit) {
  const auto never = [](const CpuFeatures&) { return false; };
  const Variant<int> table[] = {{"reference", CpuIsa::kReference, AnyCpu, 1},
                                {"avx2", CpuIsa::kAvx2, AnyCpu, 2},
                                {"avx512", CpuIsa::kAvx512, never, 3},
                                {"amx", CpuIsa::kAmx, AnyCpu, 4}};
  EXPECT_EQ(PickVariant<int>(table, CpuIsa::kReference).fn, 1);
  EXPECT_EQ(PickVariant<int>(table, CpuIsa::kAvx512).fn, 2);
  EXPECT_EQ(PickVariant<int>(table, CpuIsa::kAmx).fn, 4);
}

TEST(BFloat16Test, RoundsToNearestEven) {
  EXPECT_EQ(ToBFloat16(1.0f).bits, 0x3f80);
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x3f808000u)).bits, 0x3f80);  // tie, down to even
  EXPECT_EQ(ToBFloat16(std::bit_cast<float>(0x3f818000u)).bits, 0x3f82);  // tie, up to even
  EXPECT_EQ(ToBFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);  // to infinity
  EXPECT_TRUE(std::isnan(ToFloat(ToBFloat16(NAN))));
  EXPECT_EQ(ToFloat(BFloat16{0xc0a0}), -5.0f);
}

}  // namespace
}  // namespace oneai::kernels
