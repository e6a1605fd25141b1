// FP8, GPTQ and AWQ folders. No published weights are at hand here, so each test packs random codes
// itself, in float64 and by loops over bits that follow the formats' descriptions, and compares.
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "models/json/json_reader.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/safetensors/small_floats.h"
#include "models/weights/open_weights.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::oneai::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr char kModule[] = "model.layers.0.mlp.up_proj";
constexpr char kWeight[] = "model.layers.0.mlp.up_proj.weight";

struct Stored {
  TensorSpec spec;
  std::string bytes;
};

template <typename T>
Stored Tensor(const std::string& name, DType dtype, std::vector<int64_t> shape,
              const std::vector<T>& values) {
  return {{name, dtype, std::move(shape)},
          std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
}

void WriteFolder(const std::filesystem::path& folder, const Json& quantization,
                 const std::vector<Stored>& tensors) {
  std::vector<TensorSpec> specs;
  for (const Stored& tensor : tensors) specs.push_back(tensor.spec);
  const auto writer = CheckpointWriter::Create(folder, specs);
  ASSERT_OK(writer);
  for (const Stored& tensor : tensors)
    ASSERT_OK((*writer)->Append(
        tensor.spec.name,
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(tensor.bytes.data()),
                            tensor.bytes.size())));
  ASSERT_OK((*writer)->Commit());
  Json config = {{"model_type", "qwen3"}};
  if (!quantization.is_null()) config["quantization_config"] = quantization;
  std::ofstream(folder / "config.json") << config.dump();
}

// A random quantised matrix as numbers: codes, zero points, scales that are halves, groups.
struct Matrix {
  int64_t n = 0, k = 0, group = 0;
  int bits = 4;
  std::vector<int> code;          // [n][k]
  std::vector<int> zero;          // [groups][n]
  std::vector<uint16_t> scale;    // [groups][n], halves
  std::vector<int32_t> group_of;  // [k]

  Matrix(int64_t n, int64_t k, int64_t group, int bits, uint32_t seed)
      : n(n), k(k), group(group), bits(bits) {
    std::mt19937 random(seed);
    const int64_t groups = k / group;
    for (int64_t i = 0; i < n * k; ++i) code.push_back(static_cast<int>(random() % (1u << bits)));
    for (int64_t i = 0; i < groups * n; ++i) {
      zero.push_back(1 + static_cast<int>(random() % ((1u << bits) - 1)));
      scale.push_back(FloatToHalf(0.001f + static_cast<float>(random() % 1000) * 1e-5f));
    }
    for (int64_t i = 0; i < k; ++i) group_of.push_back(static_cast<int32_t>(i / group));
  }
  double At(int64_t row, int64_t column) const {
    const int64_t at = group_of[column] * n + row;
    return static_cast<double>(static_cast<float>(std::bit_cast<_Float16>(scale[at]))) *
           (code[row * k + column] - zero[at]);
  }
};

std::vector<Stored> Gptq(const Matrix& m, int zero_bias, bool with_index) {
  const int64_t per = 32 / m.bits, groups = m.k / m.group;
  const uint32_t mask = (1u << m.bits) - 1;
  std::vector<uint32_t> codes(m.k / per * m.n), zeros(groups * m.n / per);
  for (int64_t k = 0; k < m.k; ++k)
    for (int64_t n = 0; n < m.n; ++n)
      codes[k / per * m.n + n] |= static_cast<uint32_t>(m.code[n * m.k + k]) << (k % per * m.bits);
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t n = 0; n < m.n; ++n)
      zeros[g * (m.n / per) + n / per] |=
          (static_cast<uint32_t>(m.zero[g * m.n + n] - zero_bias) & mask) << (n % per * m.bits);
  const std::string module = kModule;
  std::vector<Stored> out = {Tensor(module + ".qweight", DType::kI32, {m.k / per, m.n}, codes),
                             Tensor(module + ".qzeros", DType::kI32, {groups, m.n / per}, zeros),
                             Tensor(module + ".scales", DType::kF16, {groups, m.n}, m.scale)};
  if (with_index) out.push_back(Tensor(module + ".g_idx", DType::kI32, {m.k}, m.group_of));
  return out;
}

std::vector<Stored> Awq(const Matrix& m) {
  constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};  // output in nibble i of a word
  const int64_t words = m.n / 8, groups = m.k / m.group;
  std::vector<uint32_t> codes(m.k * words), zeros(groups * words);
  for (int64_t word = 0; word < words; ++word) {
    for (int i = 0; i < 8; ++i) {
      const int64_t n = word * 8 + kOrder[i];
      for (int64_t k = 0; k < m.k; ++k)
        codes[k * words + word] |= static_cast<uint32_t>(m.code[n * m.k + k]) << (4 * i);
      for (int64_t g = 0; g < groups; ++g)
        zeros[g * words + word] |= static_cast<uint32_t>(m.zero[g * m.n + n]) << (4 * i);
    }
  }
  const std::string module = kModule;
  return {Tensor(module + ".qweight", DType::kI32, {m.k, words}, codes),
          Tensor(module + ".qzeros", DType::kI32, {groups, words}, zeros),
          Tensor(module + ".scales", DType::kF16, {groups, m.n}, m.scale)};
}

Json GptqConfig(int bits, int64_t group, const char* format = "gptq") {
  return {{"quant_method", "gptq"}, {"bits", bits}, {"group_size", group},
          {"desc_act", false},      {"sym", false}, {"checkpoint_format", format}};
}

Json AwqConfig(int64_t group) {
  return {{"quant_method", "awq"}, {"bits", 4},          {"group_size", group},
          {"version", "gemm"},     {"zero_point", true}, {"modules_to_not_convert", nullptr}};
}

// Both views of the weight are exactly the matrix.
void ExpectEquals(const WeightSource& source, const Matrix& m) {
  const WeightInfo* info = source.Find(kWeight);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->encoding, WeightEncoding::kQuantized);
  EXPECT_THAT(info->shape, ElementsAre(m.n, m.k));
  ASSERT_OK_AND_ASSIGN(const QuantizedWeight codes, source.Quantized(kWeight));
  ASSERT_EQ(codes.n, m.n);
  ASSERT_EQ(codes.k, m.k);
  EXPECT_EQ(codes.bits, m.bits);
  ASSERT_OK_AND_ASSIGN(const DenseWeight dense, source.Dense(kWeight));
  const auto* values = reinterpret_cast<const float*>(dense.data);
  const int64_t groups = codes.k / codes.group_size;
  for (int64_t n = 0; n < m.n; ++n) {
    for (int64_t j = 0; j < m.k; ++j) {
      const int64_t column = codes.column_order.empty() ? j : codes.column_order[j];
      const int64_t at = n * groups + j / codes.group_size;
      const double offset = codes.offsets.empty() ? 0 : codes.offsets[at];
      // 11 bits of scale times at most 9 of code: exact in float32, so equal.
      ASSERT_EQ(static_cast<double>(codes.scales[at]) * codes.codes[n * m.k + j] + offset,
                m.At(n, column))
          << n << " " << j;
      ASSERT_EQ(values[n * m.k + column], m.At(n, column));
    }
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<float> rows, source.FloatRows(kWeight, 3, 2));
  EXPECT_EQ(rows[m.k + 1], m.At(4, 1));
}

TEST(GptqTest, UnpacksEveryLayout) {
  struct Case {
    int bits;
    int64_t group, config_group;
    const char* format;
    bool index;
  };
  for (const Case& c : {Case{4, 32, 32, "gptq", true}, Case{4, 32, 32, "gptq_v2", false},
                        Case{4, 128, -1, "gptq", true}, Case{8, 64, 64, "gptq", false},
                        Case{8, 128, -1, "gptq_v2", true}}) {
    const TempDir folder;
    const Matrix m(72, 128, c.group, c.bits, 5);
    WriteFolder(folder.path(), GptqConfig(c.bits, c.config_group, c.format),
                Gptq(m, c.format == std::string("gptq") ? 1 : 0, c.index));
    ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
    EXPECT_EQ(source->weights().size(), 1u);
    ExpectEquals(*source, m);
  }
}

TEST(GptqTest, KeepsActOrder) {
  const TempDir folder;
  Matrix m(64, 96, 32, 4, 9);
  std::shuffle(m.group_of.begin(), m.group_of.end(), std::mt19937(4));
  WriteFolder(folder.path(), GptqConfig(4, 32), Gptq(m, 1, true));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
  ASSERT_OK_AND_ASSIGN(const QuantizedWeight codes, source->Quantized(kWeight));
  EXPECT_EQ(codes.column_order.size(), 96u);
  ExpectEquals(*source, m);
}

TEST(GptqTest, SymmetricInt8NeedsNoOffsets) {
  const TempDir folder;
  Matrix m(64, 64, 64, 8, 2);
  std::fill(m.zero.begin(), m.zero.end(), 128);
  WriteFolder(folder.path(), GptqConfig(8, -1), Gptq(m, 1, false));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
  ASSERT_OK_AND_ASSIGN(const QuantizedWeight codes, source->Quantized(kWeight));
  EXPECT_TRUE(codes.offsets.empty());
  ExpectEquals(*source, m);
}

TEST(AwqTest, UndoesTheInterleaving) {
  for (const int64_t group : {32, 128}) {
    const TempDir folder;
    const Matrix m(72, 128, group, 4, 11);
    WriteFolder(folder.path(), AwqConfig(group), Awq(m));
    ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
    EXPECT_EQ(source->Find(kWeight)->format, absl::StrCat("AWQ int4 g", group));
    ExpectEquals(*source, m);
  }
}

// What a wrong folder is refused with; `change` edits a good one.
absl::Status Refusal(const Json& quantization, std::vector<Stored> tensors,
                     const std::function<void(std::vector<Stored>&)>& change) {
  const TempDir folder;
  change(tensors);
  WriteFolder(folder.path(), quantization, tensors);
  const auto source = OpenWeights(folder.path());
  if (!source.ok()) return source.status();
  const absl::Status codes = (*source)->Quantized(kWeight).status();
  const absl::Status dense = (*source)->Dense(kWeight).status();
  EXPECT_EQ(codes.ok(), dense.ok());
  return codes;
}

TEST(PackedIntegersTest, RefusesWithWeightAndPart) {
  const Matrix m(64, 128, 32, 4, 1);
  auto gptq = [&](const std::function<void(std::vector<Stored>&)>& change) {
    return Refusal(GptqConfig(4, 32), Gptq(m, 1, true), change);
  };
  EXPECT_OK(gptq([](auto&) {}));
  for (size_t part : {1, 2})
    EXPECT_THAT(gptq([=](auto& t) { t.erase(t.begin() + part); }),
                StatusIs(kInvalid, HasSubstr("is missing")));
  EXPECT_THAT(gptq([](auto& t) { t[0].spec.dtype = DType::kF32; }),
              StatusIs(kInvalid, HasSubstr("qweight is F32")));
  EXPECT_THAT(gptq([](auto& t) {
                t[0].spec.shape = {8, 128};
              }),
              StatusIs(kInvalid, HasSubstr(kWeight)));
  EXPECT_THAT(gptq([](auto& t) { t[0].spec.shape = {16 * 64}; }),
              StatusIs(kInvalid, HasSubstr("two dims")));
  EXPECT_THAT(gptq([](auto& t) {
                t[1].spec.shape = {8, 4};
              }),
              StatusIs(kInvalid, HasSubstr("qzeros is I32 [8, 4], not I32 [4, 8]")));
  EXPECT_THAT(gptq([](auto& t) {
                t[3].spec.shape = {64, 2};
              }),
              StatusIs(kInvalid, HasSubstr("g_idx")));
  auto scale = [&](uint16_t bits) {
    return gptq([=](auto& t) { std::memcpy(t[2].bytes.data() + 2 * (64 + 5), &bits, 2); });
  };
  EXPECT_THAT(scale(0x7c00), StatusIs(kInvalid, HasSubstr("scales[1][5] is not a finite")));
  EXPECT_THAT(scale(0x7e01), StatusIs(kInvalid, HasSubstr(kWeight)));
  auto index = [&](int32_t group) {
    return gptq([=](auto& t) { std::memcpy(t[3].bytes.data() + 4 * 7, &group, 4); });
  };
  EXPECT_THAT(index(4), StatusIs(kInvalid, HasSubstr("g_idx[7] is 4 of 4")));
  EXPECT_THAT(index(-1), StatusIs(kInvalid, HasSubstr("g_idx[7]")));
  EXPECT_THAT(index(1), StatusIs(kInvalid, HasSubstr("31 inputs to group 0")));
  EXPECT_THAT(Refusal(GptqConfig(4, 48), Gptq(m, 1, false), [](auto&) {}),
              StatusIs(kInvalid, HasSubstr("no whole groups of 48")));
  EXPECT_THAT(
      gptq([](auto& t) { t.push_back(Tensor(kWeight, DType::kF32, {1}, std::vector<float>{1})); }),
      StatusIs(kInvalid, HasSubstr("both plain and packed")));
  Json listed = GptqConfig(4, 32);
  listed["modules_to_not_convert"] = {"up_proj"};
  EXPECT_THAT(Refusal(listed, Gptq(m, 1, true), [](auto&) {}),
              StatusIs(kInvalid, HasSubstr("modules_to_not_convert")));
}

TEST(QuantizationConfigTest, RefusesWhatIsNotRead) {
  const Matrix m(64, 128, 32, 4, 1);
  auto with = [&](const char* key, Json value, bool awq = false) {
    Json config = awq ? AwqConfig(32) : GptqConfig(4, 32);
    config[key] = std::move(value);
    return Refusal(config, Gptq(m, 1, true), [](auto&) {});
  };
  EXPECT_THAT(with("quant_method", "bitsandbytes"),
              StatusIs(kUnimplemented, HasSubstr("'bitsandbytes' is not supported")));
  EXPECT_THAT(with("bits", 3), StatusIs(kUnimplemented, HasSubstr("bits '3'")));
  EXPECT_THAT(with("checkpoint_format", "marlin"), StatusIs(kUnimplemented, HasSubstr("marlin")));
  EXPECT_THAT(with("dynamic", {{"-:lm_head", Json::object()}}),
              StatusIs(kUnimplemented, HasSubstr("dynamic")));
  EXPECT_THAT(with("version", "gemv", true), StatusIs(kUnimplemented, HasSubstr("gemv")));
  EXPECT_THAT(with("zero_point", false, true), StatusIs(kUnimplemented, HasSubstr("zero_point")));
  EXPECT_THAT(with("group_size", 0), StatusIs(kInvalid, HasSubstr("group_size")));
  EXPECT_THAT(with("group_size", "x"), StatusIs(kInvalid, HasSubstr("group_size")));
}

struct Float8Matrix {
  int64_t rows, columns;
  std::vector<uint8_t> bytes;
  std::vector<float> scales;
  int64_t tiles() const { return (columns + 127) / 128; }

  Float8Matrix(int64_t rows, int64_t columns, uint32_t seed) : rows(rows), columns(columns) {
    std::mt19937 random(seed);
    for (int64_t i = 0; i < rows * columns; ++i) {
      uint8_t byte = static_cast<uint8_t>(random());
      if ((byte & 127) == 127) byte = 0;
      bytes.push_back(byte);
    }
    for (int64_t i = 0; i < (rows + 127) / 128 * tiles(); ++i)
      scales.push_back(0.001f * static_cast<float>(1 + random() % 1000));
  }
  double At(int64_t i, int64_t j) const {
    const int byte = bytes[i * columns + j], exponent = byte >> 3 & 15, fraction = byte & 7;
    const double magnitude = exponent == 0 ? fraction / 8.0 * std::pow(2.0, -6)
                                           : (1 + fraction / 8.0) * std::pow(2.0, exponent - 7);
    return (byte & 128 ? -magnitude : magnitude) * scales[i / 128 * tiles() + j / 128];
  }
  std::vector<Stored> Tensors() const {
    return {Tensor(kWeight, DType::kF8E4M3, {rows, columns}, bytes),
            Tensor(std::string(kWeight) + "_scale_inv", DType::kF32, {(rows + 127) / 128, tiles()},
                   scales)};
  }
};

Json Float8Config() {
  return {{"quant_method", "fp8"},
          {"fmt", "e4m3"},
          {"activation_scheme", "dynamic"},
          {"weight_block_size", {128, 128}},
          {"modules_to_not_convert", {"lm_head"}}};
}

TEST(TiledFloat8Test, DecodesTilesAndTheirEdges) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{256, 384}, {200, 130}, {1, 1}}) {
    const TempDir folder;
    const Float8Matrix m(rows, columns, 3);
    std::vector<Stored> tensors = m.Tensors();
    tensors.push_back(Tensor("lm_head.weight", DType::kF32, {2}, std::vector<float>{1, 2}));
    WriteFolder(folder.path(), Float8Config(), tensors);
    ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
    ASSERT_EQ(source->weights().size(), 2u);
    EXPECT_EQ(source->Find(kWeight)->encoding, WeightEncoding::kBlockFloat8);
    EXPECT_EQ(source->Find(kWeight)->format, "FP8 128x128");
    EXPECT_EQ(source->Find("lm_head.weight")->encoding, WeightEncoding::kDense);
    ASSERT_OK_AND_ASSIGN(const DenseWeight dense, source->Dense(kWeight));
    const auto* values = reinterpret_cast<const float*>(dense.data);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        ASSERT_EQ(values[i * columns + j], static_cast<float>(m.At(i, j))) << i << " " << j;
    ASSERT_OK_AND_ASSIGN(const std::vector<float> last, source->FloatRows(kWeight, rows - 1, 1));
    EXPECT_EQ(last[columns - 1], static_cast<float>(m.At(rows - 1, columns - 1)));
    EXPECT_THAT(source->Quantized(kWeight),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("FP8 128x128")));
  }
}

TEST(TiledFloat8Test, RefusesWithWeightAndPlace) {
  const Float8Matrix m(200, 130, 3);
  auto refusal = [&](const std::function<void(std::vector<Stored>&)>& change,
                     const Json& config = Float8Config()) {
    const TempDir folder;
    std::vector<Stored> tensors = m.Tensors();
    change(tensors);
    WriteFolder(folder.path(), config, tensors);
    const auto source = OpenWeights(folder.path());
    return source.ok() ? (*source)->Dense(kWeight).status() : source.status();
  };
  EXPECT_OK(refusal([](auto&) {}));
  EXPECT_THAT(refusal([](auto& t) { t.pop_back(); }),
              StatusIs(kInvalid, HasSubstr("weight_scale_inv is missing")));
  EXPECT_THAT(refusal([](auto& t) {
                t[1].spec.shape = {1, 4};
              }),
              StatusIs(kInvalid, HasSubstr("F32 [1, 4], not floating [2, 2]")));
  EXPECT_THAT(refusal([](auto& t) { t[0].bytes[130 * 150 + 129] = '\x7f'; }),
              StatusIs(kInvalid, HasSubstr("row 150, columns 128 to 129")));
  const float infinity = INFINITY;
  EXPECT_THAT(refusal([&](auto& t) { std::memcpy(t[1].bytes.data() + 8, &infinity, 4); }),
              StatusIs(kInvalid, HasSubstr("weight_scale_inv[1][0]")));
  EXPECT_THAT(refusal([](auto&) {}, nullptr),
              StatusIs(kInvalid, HasSubstr("no quantization_config")));
  Json per_tensor = Float8Config();
  per_tensor.erase("weight_block_size");
  EXPECT_THAT(refusal([](auto&) {}, per_tensor),
              StatusIs(kUnimplemented, HasSubstr("weight_block_size")));
  Json listed = Float8Config();
  listed["modules_to_not_convert"] = {"mlp"};
  EXPECT_THAT(refusal([](auto&) {}, listed), StatusIs(kInvalid, HasSubstr("is plain")));
}

TEST(OpenWeightsTest, PlainTensorsLieInTheFile) {
  const TempDir folder;
  WriteFolder(folder.path(), nullptr,
              {Tensor("b", DType::kBF16, {2, 2}, std::vector<uint16_t>{0x3f80, 0, 0x4000, 0}),
               Tensor("d", DType::kF64, {2}, std::vector<double>{0.5, 2}),
               Tensor("i", DType::kI64, {1}, std::vector<int64_t>{3})});
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
  ASSERT_OK_AND_ASSIGN(const DenseWeight b, source->Dense("b"));
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_TRUE(b.owned.empty());
  ASSERT_OK_AND_ASSIGN(const std::vector<float> row, source->FloatRows("b", 1, 1));
  EXPECT_THAT(row, ElementsAre(2.f, 0.f));
  ASSERT_OK_AND_ASSIGN(const DenseWeight d, source->Dense("d"));
  EXPECT_THAT(d.owned, ElementsAre(0.5f, 2.f));
  EXPECT_THAT(source->Dense("i"), StatusIs(kInvalid, HasSubstr("'i'")));
  EXPECT_THAT(source->Quantized("b"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("BF16")));
  EXPECT_THAT(OpenWeights(folder.path() / "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

}  // namespace
}  // namespace oneai::models
