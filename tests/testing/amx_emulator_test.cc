// The emulator against definitions written apart from it, through instructions as the assembler
// encodes them; and, on a processor with AMX, against the hardware.
#include "tests/testing/amx_emulator.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/cpu_info.h"
#include "tests/testing/amx_unit.h"

namespace oneai::testing {
namespace {

using kernels::AmxTiles;
using kernels::TileConfig;

bool HasHardware() { return kernels::GetCpuInfo().features.amx_bf16; }

std::string* last_fault = nullptr;

void KeepFault(const char* message) { *last_fault = message; }

// C is m x 16, A is m x depth, B is depth x 16, in tiles 0, 1 and 2.
TileConfig Shapes(int m, int depth, int n = 16) {
  TileConfig config;
  const int rows[] = {m, m, depth}, columns[] = {n, depth, n};
  for (int t = 0; t < 3; ++t) {
    config.rows[t] = static_cast<uint8_t>(rows[t]);
    config.row_bytes[t] = static_cast<uint16_t>(4 * columns[t]);
  }
  return config;
}

class AmxEmulatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    last_fault = &fault_;
    if (!HasHardware()) InstallAmxEmulator(KeepFault);
  }
  void TearDown() override {
    EXPECT_EQ(fault_, "");
    if (!HasHardware()) {
      AmxTiles::Release();
      EXPECT_FALSE(AmxIsConfiguredOnThread());
    }
    last_fault = nullptr;
  }

  std::string fault_;
};

using Bytes = std::vector<uint8_t>;

Bytes RandomBytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TEST_F(AmxEmulatorTest, TilesKeepWhatIsLoadedAndNothingElse) {
  const Bytes from = RandomBytes(16 * 80, 1);
  for (const int rows : {1, 7, 16}) {
    for (const int columns : {1, 9, 16}) {
      const TileConfig config = Shapes(rows, columns);
      AmxTiles::Configure(config);
      AmxTiles::Load<1>(from.data(), 80);
      Bytes to(16 * 70, 0xee);
      AmxTiles::Store<1>(to.data(), 70);
      for (int r = 0; r < 16; ++r) {
        for (int i = 0; i < 70; ++i) {
          const bool kept = r < rows && i < 4 * columns;
          ASSERT_EQ(to[r * 70 + i], kept ? from[r * 80 + i] : 0xee) << "row " << r << " byte " << i;
        }
      }
      AmxTiles::Zero<1>();
      AmxTiles::Store<1>(to.data(), 70);
      for (int r = 0; r < rows; ++r) ASSERT_EQ(to[r * 70 + 4 * columns - 1], 0);
    }
  }
}

TEST_F(AmxEmulatorTest, ConfigurationReadsBackAndClearsTiles) {
  TileConfig config = Shapes(5, 11), back;
  AmxTiles::Configure(config);
  __asm__ volatile("sttilecfg %0" : "=m"(back));
  EXPECT_EQ(std::memcmp(&config, &back, sizeof(config)), 0);
  const Bytes from = RandomBytes(16 * 64, 2);
  AmxTiles::Load<2>(from.data(), 64);
  AmxTiles::Configure(config);
  Bytes to(11 * 64, 1);
  AmxTiles::Store<2>(to.data(), 64);
  EXPECT_EQ(to, Bytes(11 * 64));
  AmxTiles::Release();
  __asm__ volatile("sttilecfg %0" : "=m"(back));
  const uint8_t zeros[64] = {};
  EXPECT_EQ(std::memcmp(&back, zeros, 64), 0);
}

// Every form of address that the encoding has: low and high registers, those that need SIB or a
// displacement (rsp, rbp, r12, r13), scales, short and long displacements, no base, rip.
TEST_F(AmxEmulatorTest, AddressesAreTheAssemblers) {
  alignas(64) static TileConfig config = Shapes(2, 2);
  __asm__ volatile("ldtilecfg %0" : : "m"(config));  // relative to rip
  const Bytes memory = RandomBytes(4096, 3);
  const uint8_t* at = memory.data();
  uint8_t out[16];
  const auto expect = [&](const uint8_t* row0, const uint8_t* row1, const char* form) {
    AmxTiles::Store<1>(out, 8);
    EXPECT_EQ(std::memcmp(out, row0, 8), 0) << form;
    EXPECT_EQ(std::memcmp(out + 8, row1, 8), 0) << form;
  };
  const int64_t stride = 24;
#define ONEAI_LOAD(base, index, operand)                                                        \
  __asm__ volatile("mov %0, %%" base "\n\tmov %1, %%" index "\n\ttileloadd " operand ", %%tmm1" \
                   :                                                                            \
                   : "r"(at), "r"(stride)                                                       \
                   : base, index, "memory")
  ONEAI_LOAD("rcx", "rdx", "(%%rcx,%%rdx,1)");
  expect(at, at + 24, "low registers");
  ONEAI_LOAD("r12", "r9", "(%%r12,%%r9,2)");
  expect(at, at + 48, "r12, scale 2");
  ONEAI_LOAD("r13", "r15", "(%%r13,%%r15,4)");
  expect(at, at + 96, "r13, scale 4");
  ONEAI_LOAD("r13", "r12", "16(%%r13,%%r12,8)");
  expect(at + 16, at + 16 + 192, "r12 as index, scale 8, short displacement");
  ONEAI_LOAD("rdi", "rsi", "1000(%%rdi,%%rsi,1)");
  expect(at + 1000, at + 1024, "long displacement");
  __asm__ volatile("lea 64(%0), %%r10\n\ttileloadd -8(%%r10,%1,1), %%tmm1"
                   :
                   : "r"(at), "r"(stride)
                   : "r10", "memory");
  expect(at + 56, at + 80, "negative displacement");
  __asm__ volatile("tileloadd (%0), %%tmm1" : : "r"(at) : "memory");
  expect(at, at, "no index");
  __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm1" : : "r"(at), "r"(-stride + 24) : "memory");
  expect(at, at, "TILELOADDT1, stride 0");
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm1" : : "r"(at + 480), "r"(-stride) : "memory");
  expect(at + 480, at + 456, "negative stride");
#undef ONEAI_LOAD
  const int64_t slots[4] = {0x1111, 0x2222, 0x3333, 0x4444};
  __asm__ volatile(
      "mov %%rsp, %%r14\n\tmov %0, %%rsp\n\ttileloadd (%%rsp,%1,1), %%tmm1\n\tmov %%r14, %%rsp"
      :
      : "r"(slots), "r"(int64_t{16})
      : "r14", "memory");
  expect(reinterpret_cast<const uint8_t*>(&slots[0]), reinterpret_cast<const uint8_t*>(&slots[2]),
         "rsp");
}

// Operands as the multiplication takes them: A row-major, B with pairs (or fours) of k together.
struct Operands {
  Bytes a, b;
  std::vector<uint32_t> c;
};

Operands RandomOperands(uint32_t seed) {
  Operands o{RandomBytes(1024, seed), RandomBytes(1024, seed + 1), std::vector<uint32_t>(256)};
  for (uint32_t& word : o.c) word = seed * 2654435761u;
  return o;
}

template <typename Instruction>
std::vector<uint32_t> Multiply(const Operands& o, const TileConfig& config,
                               Instruction instruction) {
  std::vector<uint32_t> c = o.c;
  AmxTiles::Configure(config);
  AmxTiles::Load<0>(c.data(), 64);
  AmxTiles::Load<1>(o.a.data(), 64);
  AmxTiles::Load<2>(o.b.data(), 64);
  instruction();
  AmxTiles::Store<0>(c.data(), 64);
  AmxTiles::Release();
  return c;
}

#define ONEAI_PRODUCT(name) [] { __asm__ volatile(name " %%tmm2, %%tmm1, %%tmm0" : :); }

template <typename A, typename B>
void ExpectByteProducts(const std::vector<uint32_t>& c, const Operands& o, int m, int depth,
                        int n) {
  for (int r = 0; r < 16; ++r) {
    for (int j = 0; j < 16; ++j) {
      int64_t sum = static_cast<int32_t>(o.c[r * 16 + j]);
      for (int i = 0; r < m && j < n && i < 4 * depth; ++i) {
        sum += int64_t{static_cast<A>(o.a[r * 64 + i])} *
               static_cast<B>(o.b[i / 4 * 64 + 4 * j + i % 4]);
      }
      ASSERT_EQ(c[r * 16 + j], static_cast<uint32_t>(sum)) << r << " " << j;
    }
  }
}

TEST_F(AmxEmulatorTest, BytesMultiplyWithTheSignsOfEachInstruction) {
  for (const auto& [m, depth, n] : {std::array{16, 16, 16}, std::array{1, 16, 16},
                                    std::array{7, 5, 16}, std::array{3, 8, 11}}) {
    const Operands o = RandomOperands(static_cast<uint32_t>(m));
    const TileConfig config = Shapes(m, depth, n);
    ExpectByteProducts<int8_t, int8_t>(Multiply(o, config, ONEAI_PRODUCT("tdpbssd")), o, m, depth,
                                       n);
    ExpectByteProducts<int8_t, uint8_t>(Multiply(o, config, ONEAI_PRODUCT("tdpbsud")), o, m, depth,
                                        n);
    ExpectByteProducts<uint8_t, int8_t>(Multiply(o, config, ONEAI_PRODUCT("tdpbusd")), o, m, depth,
                                        n);
    ExpectByteProducts<uint8_t, uint8_t>(Multiply(o, config, ONEAI_PRODUCT("tdpbuud")), o, m, depth,
                                         n);
  }
}

void PutBf16(Bytes& bytes, int row, int column, float value) {
  const uint16_t bits = kernels::ToBFloat16(value).bits;
  std::memcpy(&bytes[row * 64 + 2 * column], &bits, 2);
}

// Element (k, n) of B.
void PutB(Bytes& b, int k, int n, float value) { PutBf16(b, k / 2, 2 * n + k % 2, value); }

Operands RandomBf16(uint32_t seed) {
  Operands o{Bytes(1024), Bytes(1024), std::vector<uint32_t>(256)};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 512; ++i) {
    PutBf16(o.a, i / 32, i % 32, normal(random));
    PutBf16(o.b, i / 32, i % 32, normal(random));
  }
  for (uint32_t& word : o.c) word = std::bit_cast<uint32_t>(normal(random));
  return o;
}

TEST_F(AmxEmulatorTest, PairsAreSummedApartInOrderOfKAndAddedOnce) {
  for (const auto& [m, depth, n] : {std::array{16, 16, 16}, std::array{1, 16, 16},
                                    std::array{5, 9, 16}, std::array{16, 2, 3}}) {
    const Operands o = RandomBf16(static_cast<uint32_t>(m));
    const auto c = Multiply(o, Shapes(m, depth, n), ONEAI_PRODUCT("tdpbf16ps"));
    for (int r = 0; r < 16; ++r) {
      for (int j = 0; j < 16; ++j) {
        float sum[2] = {0, 0};
        for (int i = 0; i < 2 * depth; ++i) {
          uint16_t a, b;
          std::memcpy(&a, &o.a[r * 64 + 2 * i], 2);
          std::memcpy(&b, &o.b[i / 2 * 64 + 4 * j + 2 * (i % 2)], 2);
          // The product of two bf16 is exact in float32.
          sum[i % 2] = sum[i % 2] + kernels::ToFloat({a}) * kernels::ToFloat({b});
        }
        float expected = std::bit_cast<float>(o.c[r * 16 + j]);
        if (r < m && j < n) expected += sum[0] + sum[1];
        ASSERT_EQ(std::bit_cast<float>(c[r * 16 + j]), expected) << r << " " << j;
      }
    }
  }
}

TEST_F(AmxEmulatorTest, DenormalsAreZerosWhateverMxcsrSays) {
  Operands o{Bytes(1024), Bytes(1024), std::vector<uint32_t>(256)};
  PutBf16(o.a, 0, 0, 0x1p-130f);  // denormal operand, counts as 0
  PutB(o.b, 0, 0, 0x1p100f);
  PutBf16(o.a, 1, 1, 0x1p-70f);  // tiny product, flushed
  PutB(o.b, 1, 0, 0x1p-70f);
  o.c[2 * 16] = 1;  // denormal sum, counts as 0
  PutBf16(o.a, 3, 0, std::numeric_limits<float>::infinity());
  const auto c = Multiply(o, Shapes(16, 16), ONEAI_PRODUCT("tdpbf16ps"));
  EXPECT_EQ(c[0], 0u);
  EXPECT_EQ(c[16], 0u);
  EXPECT_EQ(c[2 * 16], 0u);
  EXPECT_EQ(std::bit_cast<float>(c[3 * 16]), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(c[3 * 16 + 1])));  // inf * 0
}

TEST_F(AmxEmulatorTest, ThreadsHaveTilesOfTheirOwn) {
  AmxTiles::Configure(Shapes(4, 4));
  const Bytes mine = RandomBytes(64, 5), others = RandomBytes(64, 6);
  AmxTiles::Load<1>(mine.data(), 16);
  std::thread([&] {
    AmxTiles::Configure(Shapes(4, 4));
    AmxTiles::Load<1>(others.data(), 16);
    AmxTiles::Release();
  }).join();
  Bytes back(64);
  AmxTiles::Store<1>(back.data(), 16);
  EXPECT_EQ(back, mine);
}

TEST_F(AmxEmulatorTest, FaultsNameTheInstructionItsPlaceAndTheReason) {
  if (HasHardware()) GTEST_SKIP() << "the hardware ends the process here";
  AmxTiles::Zero<3>();
  EXPECT_NE(fault_.find("emulator: TILEZERO at "), std::string::npos) << fault_;
  EXPECT_NE(fault_.find("amx_emulator_test+0x"), std::string::npos) << fault_;
  EXPECT_NE(fault_.find("#UD: tiles are not configured"), std::string::npos) << fault_;
  fault_.clear();
}

TEST_F(AmxEmulatorTest, CountsInstructionsOfTheThread) {
  if (HasHardware()) GTEST_SKIP() << "instructions are not seen here";
  AmxCountsOfThread() = {};
  Multiply(RandomOperands(1), Shapes(16, 16), ONEAI_PRODUCT("tdpbsud"));
  EXPECT_EQ(AmxCountsOfThread()[AmxOp::kTdpbsud], 1u);
  EXPECT_EQ(AmxCountsOfThread()[AmxOp::kTileloadd], 3u);
  EXPECT_EQ(AmxCountsOfThread()[AmxOp::kTilestored], 1u);
}

// The conditions under which instructions fault, straight on the unit.
class AmxFaultTest : public ::testing::Test {
 protected:
  std::string Configure(TileConfig config) {
    const AmxInstruction in{.op = AmxOp::kLdtilecfg};
    return Text(unit_.Execute(in, reinterpret_cast<std::byte*>(&config), 0));
  }
  std::string Product(int c, int a, int b) {
    return Text(unit_.Execute({.op = AmxOp::kTdpbsud, .tile = c, .a = a, .b = b}, nullptr, 0));
  }
  std::string Load(int tile) {
    return Text(unit_.Execute({.op = AmxOp::kTileloadd, .tile = tile}, memory_, 64));
  }
  static std::string Text(const char* fault) { return fault == nullptr ? "" : fault; }

  AmxUnit unit_;
  std::byte memory_[1024] = {};
};

TEST_F(AmxFaultTest, ConfigurationsOutOfBounds) {
  TileConfig config = Shapes(16, 16);
  EXPECT_EQ(Configure(config), "");
  config.palette = 2;
  EXPECT_EQ(Configure(config), "#GP: the palette is not 0 or 1");
  config = Shapes(16, 16);
  config.reserved[3] = 1;
  EXPECT_EQ(Configure(config), "#GP: a reserved byte of the configuration is not 0");
  EXPECT_EQ(Configure(Shapes(17, 16)), "#GP: a tile of more than 16 rows");
  EXPECT_EQ(Configure(Shapes(16, 16, 17)), "#GP: a tile of more than 64 bytes per row");
  EXPECT_EQ(Configure(Shapes(0, 16)), "#GP: a tile with rows but no bytes, or the reverse");
  config = Shapes(16, 16);
  config.rows[8] = 1;
  EXPECT_EQ(Configure(config), "#GP: shapes for tiles above tmm7");
  EXPECT_TRUE(unit_.is_configured()) << "a refused configuration changes nothing";
  config.palette = 0;
  EXPECT_EQ(Configure(config), "");
  EXPECT_FALSE(unit_.is_configured());
}

TEST_F(AmxFaultTest, TilesWithoutShapeAndRowsThatAreNotThere) {
  EXPECT_EQ(Load(1), "#UD: tiles are not configured");
  EXPECT_EQ(Product(0, 1, 2), "#UD: tiles are not configured");
  TileConfig config = Shapes(4, 4);
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Load(5), "#UD: the tile has no shape");
  config.start_row = 4;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Load(1), "#UD: start_row is not a row of the tile");
  config.start_row = 3;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Load(1), "");
  config = Shapes(4, 4);
  config.row_bytes[1] = 15;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Load(1), "#UD: bytes per row are no multiple of 4");
}

TEST_F(AmxFaultTest, ShapesOfProductsThatDoNotFit) {
  TileConfig config = Shapes(4, 8, 12);
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Product(0, 1, 2), "");
  config.rows[0] = 5;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Product(0, 1, 2), "#UD: C and A differ in rows (m)");
  config = Shapes(4, 8, 12);
  config.row_bytes[2] = 64;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Product(0, 1, 2), "#UD: C and B differ in bytes per row (n)");
  config = Shapes(4, 8, 12);
  config.rows[2] = 9;
  ASSERT_EQ(Configure(config), "");
  EXPECT_EQ(Product(0, 1, 2), "#UD: A's bytes per row / 4 are not B's rows (k)");
}

TEST(AmxDecodeTest, EncodingsThatTheProcessorRefuses) {
  struct Case {
    Bytes code;
    std::string undefined;
  };
  for (const Case& c : {
           Case{{0xc4, 0xe2, 0x6a, 0x5c, 0xc1}, ""},
           Case{{0xc4, 0xe2, 0x7a, 0x5c, 0xc1}, "one tile is named twice"},  // c is b
           Case{{0xc4, 0xe2, 0x6a, 0x5c, 0xc0}, "one tile is named twice"},  // c is a
           Case{{0xc4, 0xe2, 0x72, 0x5c, 0xc1}, "one tile is named twice"},  // a is b
           Case{{0xc4, 0xe2, 0x6e, 0x5c, 0xc1}, "VEX.L is set"},
           Case{{0xc4, 0xe2, 0xea, 0x5c, 0xc1}, "VEX.W is set"},
           Case{{0xc4, 0x62, 0x6a, 0x5c, 0xc1}, "a tile above tmm7"},
           Case{{0xc4, 0xe2, 0x7b, 0x4b, 0x01}, "the memory operand has no SIB byte"},
           Case{{0xc4, 0xe2, 0x73, 0x4b, 0x04, 0x11}, "VEX.vvvv names a register"},
       }) {
    const auto in = DecodeAmx(c.code.data());
    ASSERT_TRUE(in.has_value());
    EXPECT_EQ(in->undefined == nullptr ? "" : in->undefined, c.undefined);
  }
  const Bytes ud2 = {0x0f, 0x0b, 0, 0, 0}, bmi = {0xc4, 0xe2, 0x78, 0xf2, 0xc1};
  EXPECT_FALSE(DecodeAmx(ud2.data()).has_value());
  EXPECT_FALSE(DecodeAmx(bmi.data()).has_value());
}

// Random bit patterns, denormals among them, NaNs apart: their payload is not specified.
TEST(AmxHardwareTest, HasTheEmulatorsBits) {
  if (!HasHardware()) {
    GTEST_SKIP() << "this processor has no AMX, or the kernel lends no tiles; nothing to compare "
                    "the emulator with";
  }
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const Operands o = seed % 2 == 0 ? RandomOperands(seed) : RandomBf16(seed);
    const TileConfig config = Shapes(1 + seed % 16, 1 + seed / 3 % 16);
    for (const AmxOp op : {AmxOp::kTdpbf16ps, AmxOp::kTdpbsud}) {
      const std::vector<uint32_t> hardware = op == AmxOp::kTdpbf16ps
                                                 ? Multiply(o, config, ONEAI_PRODUCT("tdpbf16ps"))
                                                 : Multiply(o, config, ONEAI_PRODUCT("tdpbsud"));
      AmxUnit unit;
      std::vector<uint32_t> c = o.c;
      TileConfig shapes = config;
      const auto memory = [](const void* p) {
        return reinterpret_cast<std::byte*>(const_cast<void*>(p));
      };
      ASSERT_EQ(unit.Execute({.op = AmxOp::kLdtilecfg}, memory(&shapes), 0), nullptr);
      unit.Execute({.op = AmxOp::kTileloadd, .tile = 0}, memory(c.data()), 64);
      unit.Execute({.op = AmxOp::kTileloadd, .tile = 1}, memory(o.a.data()), 64);
      unit.Execute({.op = AmxOp::kTileloadd, .tile = 2}, memory(o.b.data()), 64);
      ASSERT_EQ(unit.Execute({.op = op, .tile = 0, .a = 1, .b = 2}, nullptr, 0), nullptr);
      unit.Execute({.op = AmxOp::kTilestored, .tile = 0}, memory(c.data()), 64);
      for (size_t i = 0; i < c.size(); ++i) {
        const bool both_nan = op == AmxOp::kTdpbf16ps && std::isnan(std::bit_cast<float>(c[i])) &&
                              std::isnan(std::bit_cast<float>(hardware[i]));
        ASSERT_TRUE(both_nan || c[i] == hardware[i]) << AmxOpName(op) << " seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace oneai::testing
