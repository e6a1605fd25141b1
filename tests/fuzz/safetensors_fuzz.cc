#include "absl/strings/str_cat.h"
#include "models/safetensors/safetensors_header.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view file(reinterpret_cast<const char*>(data), size);
  const auto header = ParseSafetensorsHeader(file, static_cast<int64_t>(size), "fuzz");
  if (!header.ok()) return 0;
  // What is accepted covers the data exactly, within the file.
  int64_t expected = header->data_begin;
  for (const TensorEntry& tensor : header->tensors) {
    ONEAI_FUZZ_CHECK(tensor.begin == expected && tensor.end <= static_cast<int64_t>(size));
    ONEAI_FUZZ_CHECK(*TensorBytes(tensor.spec) == tensor.end - tensor.begin);
    expected = tensor.end;
  }
  ONEAI_FUZZ_CHECK(expected == static_cast<int64_t>(size));
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  for (const std::vector<TensorSpec>& specs :
       std::vector<std::vector<TensorSpec>>{{},
                                            {{"w", DType::kF32, {2, 3}}},
                                            {{"a", DType::kBF16, {4}},
                                             {"b", DType::kI64, {}},
                                             {"c", DType::kBool, {0, 5}},
                                             {"d", DType::kU8, {7}}}}) {
    SafetensorsHeader header;
    std::string file = *EncodeSafetensorsHeader(specs, {{"format", "pt"}}, &header);
    file.resize(header.tensors.empty() ? header.data_begin : header.tensors.back().end);
    seeds.inputs.push_back(std::move(file));
  }
  seeds.fragments = {"\"dtype\":\"F32\"",
                     "\"shape\":[1]",
                     "\"data_offsets\":[0,4]",
                     "18446744073709551615",
                     "-1",
                     "9223372036854775807",
                     "4294967296,4294967296",
                     "[[[[[[[[[[",
                     "{\"x\":",
                     "1e400",
                     "null",
                     "\"__metadata__\":{}",
                     "\\u0000",
                     "\xff"};
  return seeds;
}
