// A whole forward pass with every product on AMX (in the emulator where the processor has none),
// beside the same pass without it. (That rows do not depend on their batch is cpu_model_test.cc's
// promise, which a second binary holds on AMX.)
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_info.h"
#include "models/config/model_config.h"
#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/tiny_model.h"
#include "tests/testing/amx_emulator.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using kernels::CpuIsa;
using kernels::KvCacheFormat;
using kernels::WeightFormat;

struct Setup {
  const char* name;
  WeightFormat weights;
  KvCacheFormat kv;
};
constexpr Setup kSetups[] = {
    {"bf16", WeightFormat::kBFloat16, KvCacheFormat::kBf16},
    {"int8", WeightFormat::kInt8, KvCacheFormat::kInt8},
    {"int4", WeightFormat::kInt4, KvCacheFormat::kBf16},
};

constexpr int64_t kBlockTokens = 16;
constexpr int64_t kNumTokens = 41;

std::vector<int32_t> SomeTokens(int64_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kNumTokens; ++i) {
    tokens.push_back(static_cast<int32_t>((17 + i * i * 7) % vocab_size));
  }
  return tokens;
}

// Logits of every position, prefilled in pieces of the given sizes.
absl::StatusOr<std::vector<float>> Logits(const std::filesystem::path& folder, const Setup& setup,
                                          const std::vector<int64_t>& pieces) {
  CpuModelOptions options{.num_threads = 2, .weights = setup.weights};
  ASSIGN_OR_RETURN(const std::unique_ptr<CpuModel> model, CpuModel::Load(folder, options));
  ASSIGN_OR_RETURN(PagedKvCache cache,
                   PagedKvCache::Create(model->config(), 4, kBlockTokens, setup.kv));
  const std::vector<int32_t> tokens = SomeTokens(model->config().vocab_size);
  const std::vector<int32_t> table = {2, 0, 3};
  std::vector<float> all;
  int64_t begin = 0;
  for (const int64_t piece : pieces) {
    const SequenceChunk chunk{absl::MakeConstSpan(tokens).subspan(begin, piece), begin, table,
                              kAllRows};
    std::vector<float> logits;
    RETURN_IF_ERROR(model->Forward({&chunk, 1}, cache, logits));
    all.insert(all.end(), logits.begin(), logits.end());
    begin += piece;
  }
  return all;
}

// The same in a child of its own, because a process picks its kernels once. Empty: it failed.
std::vector<float> LogitsOf(CpuIsa isa, const std::filesystem::path& folder, const Setup& setup,
                            const std::vector<int64_t>& pieces) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    if (!kernels::SetMaxIsa(isa).ok()) _exit(2);
    const absl::StatusOr<std::vector<float>> logits = Logits(folder, setup, pieces);
    if (!logits.ok()) _exit(3);
    // Which products ran, as the emulator counts them on this thread, one of the two.
    using ::oneai::testing::AmxOp;
    const auto& counts = ::oneai::testing::AmxCountsOfThread();
    const bool on_tiles = counts[AmxOp::kTdpbf16ps] + counts[AmxOp::kTdpbsud] > 0;
    const bool emulated = kernels::GetCpuInfo().vendor == "emulator";
    if (emulated && on_tiles != (isa == CpuIsa::kAmx)) _exit(4);
    const auto* bytes = reinterpret_cast<const char*>(logits->data());
    size_t left = logits->size() * sizeof(float);
    while (left > 0) {
      const ssize_t wrote = write(ends[1], bytes, left);
      if (wrote <= 0) _exit(5);
      bytes += wrote;
      left -= static_cast<size_t>(wrote);
    }
    _exit(::testing::Test::HasFailure() ? 6 : 0);
  }
  close(ends[1]);
  std::vector<char> bytes;
  char buffer[65536];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    bytes.insert(bytes.end(), buffer, buffer + got);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  std::vector<float> logits(bytes.size() / sizeof(float));
  std::memcpy(logits.data(), bytes.data(), logits.size() * sizeof(float));
  return logits;
}

class AmxModelTest : public ::testing::TestWithParam<Setup> {
 protected:
  void SetUp() override {
    if (kernels::SupportedIsa() != CpuIsa::kAmx) {
      GTEST_SKIP() << "the loops around the tiles need AVX-512";
    }
  }
};

void ExpectAmxIsRight(const std::filesystem::path& folder, const Setup& setup) {
  const std::vector<float> amx = LogitsOf(CpuIsa::kAmx, folder, setup, {kNumTokens});
  const std::vector<float> avx512 = LogitsOf(CpuIsa::kAvx512, folder, setup, {kNumTokens});
  ASSERT_FALSE(amx.empty());
  ASSERT_EQ(amx.size(), avx512.size());
  double square = 0, worst = 0;
  for (size_t i = 0; i < amx.size(); ++i) {
    ASSERT_TRUE(std::isfinite(amx[i]));
    square += double{avx512[i]} * avx512[i];
    worst = std::max(worst, std::abs(double{amx[i]} - avx512[i]));
  }
  // Both round the same operands to 8 bits of mantissa and differ in the order of float32 sums; a
  // value next to a tie then rounds the other way, which is 2^-8 of it, now and then per layer.
  EXPECT_LT(worst, 0x1p-5 * std::sqrt(square / static_cast<double>(amx.size())));
  EXPECT_EQ(LogitsOf(CpuIsa::kAmx, folder, setup, {1, 16, 7, 17}), amx) << "in chunks";
}

TEST_P(AmxModelTest, IsNearAvx512AndTheSameInChunks) {
  ModelConfig config = oneai::testing::TinyQwen3();
  config.hidden_size = 160;
  config.intermediate_size = 192;
  config.head_dim = 64;
  const std::filesystem::path folder = oneai::testing::FreshFolder("model");
  oneai::testing::WriteTensors(folder, oneai::testing::SpecsOf(config));
  std::ofstream(folder / "config.json") << ToHfJson(config);
  ExpectAmxIsRight(folder, GetParam());
}

TEST_P(AmxModelTest, GoldenQwen3IsNearAvx512AndTheSameInChunks) {
  const auto shared = oneai::testing::SharedDir();
  if (!shared.has_value()) GTEST_SKIP() << "no shared golden files on this machine";
  ExpectAmxIsRight(*shared / "golden" / "qwen3", GetParam());
}

INSTANTIATE_TEST_SUITE_P(Setups, AmxModelTest, ::testing::ValuesIn(kSetups),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace oneai::models
