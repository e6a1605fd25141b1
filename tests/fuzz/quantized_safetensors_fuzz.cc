// The parts of an FP8, GPTQ or AWQ weight: a config.json, a zero byte, then a safetensors file.
#include <cstring>

#include "models/json/json_reader.h"
#include "models/safetensors/safetensors_header.h"
#include "models/weights/packed_integers.h"
#include "models/weights/quantization.h"
#include "models/weights/tiled_float8.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

namespace {

void Unpack(const Quantization& quantization, const PackedParts& parts) {
  const auto shape = PackedShape(quantization, parts, "w");
  if (!shape.ok()) return;
  const auto weight = UnpackIntegers(quantization, parts, "w", 0, (*shape)[0]);
  if (!weight.ok()) return;
  // What is accepted can be multiplied: sizes fit, and columns are a permutation.
  const int64_t n = weight->n, k = weight->k;
  ONEAI_FUZZ_CHECK(k % weight->group_size == 0);
  ONEAI_FUZZ_CHECK(static_cast<int64_t>(weight->codes.size()) == n * k);
  ONEAI_FUZZ_CHECK(static_cast<int64_t>(weight->scales.size()) == n * (k / weight->group_size));
  ONEAI_FUZZ_CHECK(weight->offsets.empty() || weight->offsets.size() == weight->scales.size());
  std::vector<bool> seen(k);
  for (const int32_t column : weight->column_order) {
    ONEAI_FUZZ_CHECK(column >= 0 && column < k && !seen[column]);
    seen[column] = true;
  }
  for (const int8_t code : weight->codes)
    ONEAI_FUZZ_CHECK(quantization.bits == 8 || (code >= 0 && code < 16));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  if (cut == absl::string_view::npos) return 0;
  const auto config = ParseJson(input.substr(0, cut), "config.json");
  if (!config.ok()) return 0;
  const auto quantization = ReadQuantization(*config, "config.json");
  if (!quantization.ok()) return 0;
  const absl::string_view file = input.substr(cut + 1);
  const auto header = ParseSafetensorsHeader(file, static_cast<int64_t>(file.size()), "fuzz");
  if (!header.ok()) return 0;
  std::vector<TensorView> views;
  for (const TensorEntry& entry : header->tensors)
    views.push_back(
        {entry.spec.name, entry.spec.dtype, entry.spec.shape,
         absl::MakeConstSpan(reinterpret_cast<const std::byte*>(file.data()) + entry.begin,
                             entry.end - entry.begin)});
  auto find = [&](absl::string_view name) -> const TensorView* {
    for (const TensorView& view : views)
      if (view.name == name) return &view;
    return nullptr;
  };
  (void)IsPlainModule(*quantization, "m");
  if (quantization->method == QuantizationMethod::kFloat8) {
    const TensorView *weight = find("m.weight"), *scales = find("m.weight_scale_inv");
    if (weight != nullptr && CheckTiledFloat8(*quantization, *weight, scales).ok())
      (void)DecodeTiledFloat8(*quantization, *weight, *scales, 0, weight->shape[0]).ok();
  } else if (quantization->method != QuantizationMethod::kNone && find("m.qweight") != nullptr) {
    Unpack(*quantization, {find("m.qweight"), find("m.qzeros"), find("m.scales"), find("m.g_idx")});
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  auto input = [](const char* config, const std::vector<TensorSpec>& specs) {
    SafetensorsHeader header;
    std::string file = *EncodeSafetensorsHeader(specs, {}, &header);
    file.resize(header.tensors.back().end, '\x11');
    return std::string(config) + '\0' + file;
  };
  FuzzSeeds seeds;
  seeds.inputs = {
      input(R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32}})",
            {{"m.qweight", DType::kI32, {8, 8}},
             {"m.qzeros", DType::kI32, {2, 1}},
             {"m.scales", DType::kF16, {2, 8}}}),
      input(R"({"quantization_config":{"quant_method":"gptq","bits":8,"group_size":-1,)"
            R"("checkpoint_format":"gptq_v2"}})",
            {{"m.qweight", DType::kI32, {2, 4}},
             {"m.qzeros", DType::kI32, {1, 1}},
             {"m.scales", DType::kBF16, {1, 4}},
             {"m.g_idx", DType::kI32, {8}}}),
      input(R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":8}})",
            {{"m.qweight", DType::kI32, {16, 1}},
             {"m.qzeros", DType::kI32, {2, 1}},
             {"m.scales", DType::kF16, {2, 8}}}),
      input(R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[4,4]}})",
            {{"m.weight", DType::kF8E4M3, {6, 5}}, {"m.weight_scale_inv", DType::kF32, {2, 2}}})};
  seeds.fragments = {"\"group_size\":8",
                     "\"group_size\":-1",
                     "\"group_size\":1048576",
                     "\"bits\":8",
                     "\"awq\"",
                     "\"gptq_v2\"",
                     "[128,128]",
                     "[1,1]",
                     "\"shape\":[1152921504606846975,1]",
                     "\"shape\":[0,8]",
                     "\"F8_E4M3\"",
                     "m.g_idx",
                     "\x7e\x7f\xff\x7c"};
  return seeds;
}
