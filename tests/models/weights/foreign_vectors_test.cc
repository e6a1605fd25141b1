// Weights packed by the programs that made the formats (tests/data/README.md says which), and the
// numbers that they mean.
#include <bit>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/safetensors/small_floats.h"
#include "models/weights/open_weights.h"
#include "models/weights/quantization.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::TempDir;

constexpr char kModule[] = "model.layers.0.mlp.up_proj";

struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};

struct Vector {
  std::string name, method, order, format;
  int bits = 0;
  int64_t group_size = 0;
  bool symmetric = false;
  std::map<std::string, Tensor> tensors;
};

std::string FromHex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::vector<Vector> ReadVectors() {
  std::ifstream file(testing::DataDir() / "quantized" / "packed.txt");
  EXPECT_TRUE(file.is_open());
  std::vector<Vector> vectors;
  for (std::string line, word; std::getline(file, line);) {
    std::istringstream fields(line);
    fields >> word;
    if (word == "case") {
      Vector& v = vectors.emplace_back();
      std::string symmetry;
      fields >> v.name >> v.method >> v.bits >> v.group_size >> symmetry >> v.order >> v.format;
      v.symmetric = symmetry == "sym";
      continue;
    }
    std::string dtype, shape, hex;
    fields >> dtype >> shape >> hex;
    Tensor& tensor = vectors.back().tensors[word];
    tensor.dtype = dtype == "I32" ? DType::kI32 : dtype == "F16" ? DType::kF16 : DType::kF32;
    for (const absl::string_view extent : absl::StrSplit(shape, 'x'))
      tensor.shape.push_back(std::stoll(std::string(extent)));
    tensor.bytes = FromHex(hex);
  }
  return vectors;
}

void WriteFolder(const std::filesystem::path& folder, const Vector& v) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : v.tensors) {
    if (name != "expected")
      specs.push_back({absl::StrCat(kModule, ".", name), tensor.dtype, tensor.shape});
  }
  const auto writer = CheckpointWriter::Create(folder, specs);
  ASSERT_OK(writer);
  for (const auto& [name, tensor] : v.tensors) {
    if (name == "expected") continue;
    ASSERT_OK((*writer)->Append(
        absl::StrCat(kModule, ".", name),
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(tensor.bytes.data()),
                            tensor.bytes.size())));
  }
  ASSERT_OK((*writer)->Commit());
  Json quantization = {{"quant_method", v.method}, {"bits", v.bits}, {"group_size", v.group_size}};
  if (v.method == "awq") {
    quantization["version"] = v.format;
    quantization["zero_point"] = true;
  } else {
    quantization["sym"] = v.symmetric;
    quantization["desc_act"] = v.order == "act_order";
    quantization["checkpoint_format"] = v.format;
  }
  std::ofstream(folder / "config.json")
      << Json{{"model_type", "qwen3"}, {"quantization_config", quantization}}.dump();
}

TEST(ForeignVectorsTest, PackedIntegersMeanWhatTheirPackersSay) {
  const std::vector<Vector> vectors = ReadVectors();
  EXPECT_EQ(vectors.size(), 10u);
  for (const Vector& v : vectors) {
    SCOPED_TRACE(v.name);
    const TempDir folder;
    WriteFolder(folder.path(), v);
    ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path()));
    const Tensor& expected = v.tensors.at("expected");
    const std::string weight = absl::StrCat(kModule, ".weight");
    ASSERT_OK_AND_ASSIGN(const std::vector<float> found,
                         source->FloatRows(weight, 0, expected.shape[0]));
    ASSERT_EQ(found.size() * sizeof(float), expected.bytes.size());
    const auto* values = reinterpret_cast<const float*>(expected.bytes.data());
    for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], values[i]) << i;
    ASSERT_OK_AND_ASSIGN(const QuantizedWeight codes, source->Quantized(weight));
    EXPECT_EQ(codes.column_order.empty(), v.order == "in_order");
    EXPECT_EQ(codes.bits, v.bits);
  }
}

TEST(ForeignVectorsTest, Float8IsPyTorchs) {
  std::ifstream file(testing::DataDir() / "quantized" / "float8_e4m3.txt");
  std::string hex;
  ASSERT_TRUE(std::getline(file, hex));
  ASSERT_EQ(hex.size(), 256u * 8);
  for (int byte = 0; byte < 256; ++byte) {
    const auto bits = static_cast<uint32_t>(std::stoul(hex.substr(byte * 8, 8), nullptr, 16));
    const float expected = std::bit_cast<float>(bits);
    const float found = Float8E4M3ToFloat(static_cast<uint8_t>(byte));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found)) << byte;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(found), bits) << byte;
    }
  }
}

}  // namespace
}  // namespace oneai::models
