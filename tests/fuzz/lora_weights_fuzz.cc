// A LoRA adapter as a folder: an adapter_config.json, a zero byte, then its safetensors file.
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "models/lora/lora_adapter.h"
#include "models/safetensors/safetensors_header.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

namespace {

// One layer of hidden size 8.
ModelConfig SmallConfig() {
  ModelConfig config;
  config.vocab_size = 16;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_layers = 1;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 4;
  config.layer_types = {LayerType::kFullAttention};
  return config;
}

// The folder that every input is written to, in memory where the system has such a place.
const std::filesystem::path& Folder() {
  static const std::filesystem::path& folder = *new std::filesystem::path([] {
    const std::filesystem::path memory = "/dev/shm";
    std::filesystem::path made =
        (std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path()) /
        absl::StrCat("oneai-lora-fuzz-", getpid());
    std::filesystem::create_directories(made);
    std::atexit([] { std::filesystem::remove_all(Folder()); });
    return made;
  }());
  return folder;
}

void Write(const char* name, absl::string_view bytes) {
  std::ofstream(Folder() / name, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  if (cut == absl::string_view::npos) return 0;
  // Cheap refusals first, so that most inputs cost no file.
  if (!ParseLoraConfig(input.substr(0, cut), "fuzz").ok()) return 0;
  const absl::string_view file = input.substr(cut + 1);
  if (!ParseSafetensorsHeader(file, static_cast<int64_t>(file.size()), "fuzz").ok()) return 0;
  Write("adapter_config.json", input.substr(0, cut));
  Write("adapter_model.safetensors", file);
  static const ModelConfig& config = *new ModelConfig(SmallConfig());
  const auto adapter = LoraAdapter::Load(Folder(), config);
  if (!adapter.ok()) return 0;
  // What is accepted has factors that multiply, of the bytes that their shapes say.
  ONEAI_FUZZ_CHECK(!adapter->modules().empty());
  for (const LoraModule& module : adapter->modules()) {
    ONEAI_FUZZ_CHECK(module.rank >= 1 && std::isfinite(module.scale));
    ONEAI_FUZZ_CHECK(module.a.shape.size() == 2 && module.b.shape.size() == 2);
    ONEAI_FUZZ_CHECK(module.a.shape[0] == module.rank && module.b.shape[1] == module.rank);
    for (const TensorView* factor : {&module.a, &module.b}) {
      const auto values = ToFloat32(*factor);
      ONEAI_FUZZ_CHECK(values.ok());
      ONEAI_FUZZ_CHECK(static_cast<int64_t>(values->size()) == factor->shape[0] * factor->shape[1]);
    }
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  auto input = [](const char* config, const std::vector<TensorSpec>& specs) {
    SafetensorsHeader header;
    std::string file = *EncodeSafetensorsHeader(specs, {}, &header);
    file.resize(header.tensors.back().end, '\x3c');
    return std::string(config) + '\0' + file;
  };
  const std::string layer = "base_model.model.model.layers.0.";
  FuzzSeeds seeds;
  seeds.inputs = {
      input(R"({"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q_proj","down_proj"]})",
            {{layer + "self_attn.q_proj.lora_A.weight", DType::kF32, {2, 8}},
             {layer + "self_attn.q_proj.lora_B.weight", DType::kF32, {8, 2}},
             {layer + "mlp.down_proj.lora_A.weight", DType::kBF16, {2, 12}},
             {layer + "mlp.down_proj.lora_B.weight", DType::kBF16, {8, 2}}}),
      input(R"({"peft_type":"LORA","r":3,"rank_pattern":{"k_proj":1},"target_modules":["k_proj"]})",
            {{"base_model.model.layers.0.self_attn.k_proj.lora_A.weight", DType::kF16, {1, 8}},
             {"base_model.model.layers.0.self_attn.k_proj.lora_B.weight", DType::kF64, {4, 1}}})};
  seeds.fragments = {"\"r\":1",
                     "\"rank_pattern\":{\"q_proj\":1}",
                     "\"target_modules\":\"all-linear\"",
                     "\"shape\":[2,8]",
                     "\"shape\":[8,2]",
                     "\"shape\":[9223372036854775807,2]",
                     "\"dtype\":\"F64\"",
                     "\"dtype\":\"I8\"",
                     "lora_A",
                     "lora_B",
                     "v_proj",
                     "o_proj",
                     "embed_tokens",
                     "lm_head",
                     "model.language_model.",
                     "\"data_offsets\":[0,64]",
                     std::string(1, '\0')};
  return seeds;
}
