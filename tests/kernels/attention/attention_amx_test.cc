// What the tests of the table do not ask of the AMX variant.
#include <vector>

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "tests/testing/amx_emulator.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::AmxCountsOfThread;
using ::oneai::testing::AmxIsConfiguredOnThread;
using ::oneai::testing::AmxOp;

bool HasLoops() {
  const CpuFeatures& f = GetCpuInfo().features;
  return f.avx512_bf16 && f.avx512_vbmi;
}

TEST(AttentionAmxTest, IsInTheTableAndPicked) {
  if (!HasLoops()) GTEST_SKIP() << "the loops around the tiles need AVX-512 BF16 and VBMI";
  const Variant<AttentionFn>& amx = AttentionVariants().back();
  EXPECT_EQ(amx.isa, CpuIsa::kAmx);
  EXPECT_EQ(&PickVariant(AttentionVariants(), SupportedIsa()), &amx);
}

// 24 query rows are a tile of 16 and one of 8; they share a configuration.
TEST(AttentionAmxTest, ConfiguresAndReleasesItsTilesOncePerTask) {
  if (!HasLoops()) GTEST_SKIP() << "the loops around the tiles need AVX-512 BF16 and VBMI";
  if (GetCpuInfo().vendor != "emulator") GTEST_SKIP() << "hardware does not tell";
  constexpr int64_t kTokens = 192, kHeads = 2, kDim = 64, kBlock = 16;
  std::vector<float> q(kTokens * kHeads * kDim, 0.5f), out(q.size());
  std::vector<std::byte> k(kTokens / kBlock * KvHeadBytes(KvCacheFormat::kBf16, kBlock, kDim));
  std::vector<std::byte> v = k;
  std::vector<int32_t> table(kTokens / kBlock);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
  const int32_t seq_start[] = {0, kTokens}, context_len[] = {kTokens};
  KernelContext ctx(1);
  AmxCountsOfThread() = {};
  AttentionWith(AttentionVariants().back(),
                {.q = q.data(),
                 .q_stride = kHeads * kDim,
                 .out = out.data(),
                 .out_stride = kHeads * kDim,
                 .cache = {k.data(), v.data(), KvCacheFormat::kBf16,
                           KvHeadBytes(KvCacheFormat::kBf16, kBlock, kDim), kBlock, 1, kDim},
                 .block_table = table.data(),
                 .block_table_stride = static_cast<int64_t>(table.size()),
                 .seq_start = seq_start,
                 .context_len = context_len,
                 .num_sequences = 1,
                 .num_heads = kHeads},
                ctx);
  constexpr uint64_t kTasks = kTokens * kHeads / kAttentionQueryRows;
  EXPECT_EQ(AmxCountsOfThread()[AmxOp::kLdtilecfg], kTasks);
  EXPECT_EQ(AmxCountsOfThread()[AmxOp::kTilerelease], kTasks);
  EXPECT_FALSE(AmxIsConfiguredOnThread());
}

}  // namespace
}  // namespace oneai::kernels
