#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "models/gguf/block_decode.h"
#include "models/gguf/block_encode.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

std::vector<uint8_t> FromHex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Random blocks and what ggml's dequantize_row_* makes of them (tests/data/README.md).
TEST(BlockDecodeTest, EqualsGgmlBitForBit) {
  std::ifstream file(testing::DataDir() / "gguf" / "blocks.txt");
  ASSERT_TRUE(file.is_open());
  int num_blocks = 0;
  for (std::string line; std::getline(file, line); ++num_blocks) {
    std::istringstream fields(line);
    std::string name, block_text, float_text;
    fields >> name >> block_text >> float_text;
    const std::optional<BlockType> type = ParseBlockType(absl::string_view(name));
    ASSERT_TRUE(type.has_value()) << name;
    const std::vector<uint8_t> block = FromHex(block_text);
    const BlockTraits& traits = TraitsOf(*type);
    ASSERT_EQ(static_cast<int64_t>(block.size()), traits.bytes);
    std::vector<float> found(traits.elements);
    ASSERT_OK(DecodeToFloat(*type, reinterpret_cast<const std::byte*>(block.data()),
                            absl::MakeSpan(found)));
    for (int64_t i = 0; i < traits.elements; ++i) {
      const uint32_t expected =
          static_cast<uint32_t>(std::stoul(float_text.substr(i * 8, 8), nullptr, 16));
      // Of the two zeros, ours may be the other one: scale * code + offset has no sign to lose.
      if ((expected & 0x7fffffffu) == 0) {
        ASSERT_EQ(found[i], 0.f) << name << " " << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), expected) << name << " " << i;
      }
    }
  }
  EXPECT_EQ(num_blocks, 27);
}

TEST(BlockDecodeTest, RefusesScalesThatAreNoNumbers) {
  for (const BlockType type :
       {BlockType::kQ4_0, BlockType::kQ4_1, BlockType::kQ5_0, BlockType::kQ5_1, BlockType::kQ8_0,
        BlockType::kQ4_K, BlockType::kQ5_K, BlockType::kQ6_K, BlockType::kIQ4_NL}) {
    const BlockTraits& traits = TraitsOf(type);
    for (const uint16_t scale : {0x7c00, 0xfc00, 0x7e00}) {  // inf, -inf, NaN
      std::vector<uint8_t> blocks(2 * traits.bytes, 0x11);
      const int64_t at = traits.bytes + (type == BlockType::kQ6_K ? 208 : 0);
      std::memcpy(blocks.data() + at, &scale, 2);
      std::vector<float> out(2 * traits.elements);
      EXPECT_THAT(DecodeToFloat(type, reinterpret_cast<const std::byte*>(blocks.data()),
                                absl::MakeSpan(out)),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block 1")))
          << traits.name;
    }
  }
}

std::vector<float> Gaussian(size_t count, float deviation, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<float> Through(BlockType type, const std::vector<float>& values) {
  std::vector<std::byte> blocks(*BlockBytes(type, static_cast<int64_t>(values.size())));
  EXPECT_OK(EncodeBlocks(type, values, blocks.data()));
  std::vector<float> out(values.size());
  EXPECT_OK(DecodeToFloat(type, blocks.data(), absl::MakeSpan(out)));
  return out;
}

double RelativeError(const std::vector<float>& expected, const std::vector<float>& found) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (expected[i] - found[i]) * static_cast<double>(expected[i] - found[i]);
    size += expected[i] * static_cast<double>(expected[i]);
  }
  return std::sqrt(error / size);
}

// Bounds: uniform rounding of normal numbers with the block's extreme at the end of the range
// (32 numbers reach about 2.1 deviations: step 2.1/127, 2.1/7.5; error step/sqrt(12)), with room.
TEST(BlockEncodeTest, ErrorIsThatOfTheBits) {
  const std::vector<float> values = Gaussian(64 * 256, 0.02f, 7);
  EXPECT_EQ(RelativeError(values, Through(BlockType::kF32, values)), 0);
  EXPECT_LT(RelativeError(values, Through(BlockType::kF16, values)), 3e-4);
  EXPECT_LT(RelativeError(values, Through(BlockType::kBF16, values)), 2e-3);
  EXPECT_LT(RelativeError(values, Through(BlockType::kQ8_0, values)), 0.006);
  EXPECT_LT(RelativeError(values, Through(BlockType::kQ6_K, values)), 0.022);
  EXPECT_LT(RelativeError(values, Through(BlockType::kQ4_K, values)), 0.078);
  EXPECT_LT(RelativeError(values, Through(BlockType::kQ4_0, values)), 0.097);
}

TEST(BlockEncodeTest, KeepsWhatTheBlocksCanSay) {
  // Codes times a power of two: exact in each type.
  std::vector<float> values(256);
  for (int i = 0; i < 256; ++i) values[i] = static_cast<float>(i % 16 - 8) * 0.25f;
  EXPECT_EQ(Through(BlockType::kQ4_0, values), values);
  for (int i = 0; i < 256; ++i) values[i] = static_cast<float>(i * 37 % 255 - 127) * 0.5f;
  for (int i = 0; i < 256; i += 32) values[i] = 63.5f;
  EXPECT_EQ(Through(BlockType::kQ8_0, values), values);
  const std::vector<float> zeros(256, 0.f);
  for (const BlockType type :
       {BlockType::kQ8_0, BlockType::kQ4_0, BlockType::kQ4_K, BlockType::kQ6_K})
    EXPECT_EQ(Through(type, zeros), zeros) << TraitsOf(type).name;
}

TEST(BlockEncodeTest, HandlesExtremes) {
  for (const float deviation : {1e-30f, 1e-8f, 1e4f}) {
    const std::vector<float> values = Gaussian(256, deviation, 3);
    for (const BlockType type :
         {BlockType::kQ8_0, BlockType::kQ4_0, BlockType::kQ4_K, BlockType::kQ6_K}) {
      const std::vector<float> out = Through(type, values);
      for (size_t i = 0; i < out.size(); ++i)
        ASSERT_LE(std::fabs(out[i]), 6 * deviation + 1e-6f) << TraitsOf(type).name;
    }
  }
  std::vector<float> constant(256, 0.3f);
  EXPECT_LT(RelativeError(constant, Through(BlockType::kQ4_K, constant)), 0.01);
  EXPECT_LT(RelativeError(constant, Through(BlockType::kQ6_K, constant)), 0.01);
}

TEST(BlockEncodeTest, RefusesWhatIsNoNumberOrTooLarge) {
  std::vector<std::byte> out(4096);
  for (const BlockType type : {BlockType::kF32, BlockType::kF16, BlockType::kBF16, BlockType::kQ8_0,
                               BlockType::kQ4_0, BlockType::kQ4_K, BlockType::kQ6_K}) {
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> values(256, 0.1f);
      values[77] = bad;
      EXPECT_THAT(EncodeBlocks(type, values, out.data()),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("element 77")));
    }
  }
  std::vector<float> values(32, 65505.f);
  EXPECT_THAT(EncodeBlocks(BlockType::kF16, values, out.data()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("F16 cannot hold")));
  EXPECT_THAT(EncodeBlocks(BlockType::kQ5_0, values, out.data()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cannot be written")));
}

}  // namespace
}  // namespace oneai::models
