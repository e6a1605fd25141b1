#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "models/gguf/block_decode.h"
#include "models/gguf/gguf_config.h"
#include "models/gguf/gguf_file.h"
#include "models/gguf/gguf_layout.h"
#include "models/gguf/gguf_tokenizer.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::models;  // NOLINT: a test's main namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = ParseGguf(bytes, static_cast<int64_t>(size), "fuzz");
  if (!header.ok()) return 0;
  int64_t end = 0;
  for (const GgufTensor& tensor : header->tensors) {
    // Whatever is accepted lies in the file, without overlap, and can be decoded or refused.
    ONEAI_FUZZ_CHECK(tensor.begin >= end && tensor.bytes > 0);
    end = tensor.begin + tensor.bytes;
    ONEAI_FUZZ_CHECK(end <= static_cast<int64_t>(size));
    std::vector<float> row(tensor.shape.back());
    (void)DecodeToFloat(tensor.type, reinterpret_cast<const std::byte*>(data) + tensor.begin,
                        absl::MakeSpan(row))
        .ok();
  }
  if (const auto config = ConfigFromGguf(*header, bytes, "fuzz"); config.ok()) {
    const GgufLayout layout = LayoutOf(*config);
    for (const GgufTensor& tensor : header->tensors) {
      const auto parts = HfTensorsOf(layout, tensor.name, tensor.shape);
      if (!parts.ok()) continue;
      for (const HfTensor& part : *parts) (void)PlaceOf(layout, part.name, part.shape).ok();
    }
  }
  if (auto tokenizer = TokenizerFromGguf(*header, "fuzz"); tokenizer.ok())
    if (auto index = Tokenizer::Create(std::move(tokenizer->spec)); index.ok())
      (void)(*index)->Encode("a <|x|> lowest 123\n", SpecialTokens::kParse);
  return 0;
}

namespace {

// The bytes of a file that the writer makes.
std::string Written(const GgufMetadata& metadata, const std::vector<GgufTensorSpec>& tensors) {
  const std::string path = absl::StrCat(std::filesystem::temp_directory_path().string(),
                                        "/oneai-gguf-seed-", getpid(), ".gguf");
  auto writer = GgufWriter::Create(path, metadata, tensors);
  for (const GgufTensorSpec& tensor : tensors) {
    int64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= extent;
    const std::vector<std::byte> zeros(*BlockBytes(tensor.type, count));
    (void)(*writer)->Append(tensor.name, zeros).ok();
  }
  (void)(*writer)->Commit().ok();
  std::string bytes;
  {
    const auto file = MappedFile::Open(path);
    bytes = std::string((*file)->text());
  }
  std::remove(path.c_str());
  return bytes;
}

}  // namespace

FuzzSeeds MakeFuzzSeeds() {
  const Json config = {
      {"model_type", "qwen3"},         {"num_hidden_layers", 1},  {"hidden_size", 8},
      {"max_position_embeddings", 64}, {"intermediate_size", 16}, {"vocab_size", 6},
      {"num_attention_heads", 2},      {"head_dim", 4},           {"tie_word_embeddings", true}};
  GgufMetadata metadata;
  metadata.PutText("general.architecture", "qwen3");
  (void)PutGgufConfig(config, "config.json", 0, metadata).ok();
  TokenizerSpec spec;
  spec.vocab = {{"a", 0}, {"b", 1}, {"ab", 2}};
  spec.merges = {{"a", "b"}};
  spec.added_tokens = {{.id = 3, .content = "<|x|>", .special = true}};
  TokenizerConfig settings;
  settings.chat_template = "{{ x }}";
  settings.eos_token = "<|x|>";
  (void)PutGgufTokenizer(spec, settings, config, metadata).ok();
  const Json hybrid = {{"model_type", "qwen3_5_text"},
                       {"num_hidden_layers", 2},
                       {"hidden_size", 8},
                       {"intermediate_size", 16},
                       {"vocab_size", 6},
                       {"num_attention_heads", 2},
                       {"head_dim", 4},
                       {"max_position_embeddings", 64},
                       {"linear_num_key_heads", 1},
                       {"linear_num_value_heads", 2},
                       {"linear_key_head_dim", 2},
                       {"linear_value_head_dim", 2},
                       {"linear_conv_kernel_dim", 4}};
  GgufMetadata hybrid_metadata;
  hybrid_metadata.PutText("general.architecture", "qwen35");
  (void)PutGgufConfig(hybrid, "config.json", 1, hybrid_metadata).ok();
  const std::vector<GgufTensorSpec> hybrid_tensors = {
      {"token_embd.weight", {6, 8}, BlockType::kF32},
      {"blk.0.attn_qkv.weight", {8, 8}, BlockType::kF32},
      {"blk.0.ssm_a", {2}, BlockType::kF32},
      {"blk.2.nextn.enorm.weight", {8}, BlockType::kF32}};
  FuzzSeeds seeds;
  seeds.inputs = {Written(hybrid_metadata, hybrid_tensors),
                  Written(metadata, {{"token_embd.weight", {6, 8}, BlockType::kF32}}),
                  Written(GgufMetadata(), {{"a", {32}, BlockType::kQ5_1},
                                           {"b", {2, 256}, BlockType::kQ4_K},
                                           {"c", {256}, BlockType::kQ6_K},
                                           {"d", {64}, BlockType::kIQ4_NL}}),
                  Written(GgufMetadata(), {})};
  const auto number = [](uint64_t value, size_t bytes) {
    return std::string(reinterpret_cast<const char*>(&value), bytes);
  };
  seeds.fragments = {"GGUF",
                     "general.alignment",
                     "tokenizer.ggml.tokens",
                     "qwen3.block_count",
                     number(0, 8),
                     number(1, 4),
                     number(8, 4),
                     number(9, 4),
                     number(12, 4),
                     number(uint64_t{1} << 61, 8),
                     number(UINT64_MAX, 8),
                     number(UINT32_MAX, 8),
                     number(0x7c007e00, 4)};
  return seeds;
}
