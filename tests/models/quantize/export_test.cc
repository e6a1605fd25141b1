#include "models/quantize/export.h"

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "models/quantize/random_checkpoint.h"
#include "models/quantize/row_stream.h"
#include "models/quantize/staged_folder.h"
#include "models/qwen/weights.h"
#include "models/weights/model_files.h"
#include "models/weights/open_weights.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::oneai::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

ModelConfig TinyConfig(const std::string& model_type) {
  Json config = {{"model_type", model_type},
                 {"vocab_size", 320},
                 {"hidden_size", 256},
                 {"intermediate_size", 384},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"head_dim", 64},
                 {"max_position_embeddings", 64},
                 {"tie_word_embeddings", model_type == "qwen3"},
                 {"torch_dtype", "bfloat16"}};
  const bool hybrid = model_type == "qwen3_next" || model_type.starts_with("qwen3_5");
  if (model_type == "qwen3_moe" || model_type == "qwen3_next" || model_type == "qwen3_5_moe_text") {
    config["num_experts"] = 4;
    config["num_experts_per_tok"] = 2;
    config["moe_intermediate_size"] = 128;
    config["norm_topk_prob"] = true;
    config["decoder_sparse_step"] = 1;
    if (hybrid) config["shared_expert_intermediate_size"] = 128;
  }
  if (hybrid) {
    config["num_hidden_layers"] = 4;
    config["linear_num_key_heads"] = 2;
    config["linear_num_value_heads"] = 6;
    config["linear_key_head_dim"] = 32;
    config["linear_value_head_dim"] = 128;  // half a block of the K types
  }
  if (model_type == "llama")
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", 32.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 8192}};
  const auto parsed = ParseModelConfig(config.dump(), "config.json");
  EXPECT_OK(parsed);
  return *parsed;
}

fs::path WriteModel(const TempDir& folder, const std::string& model_type) {
  const fs::path path = folder.path() / "source";
  EXPECT_OK(WriteRandomCheckpoint(TinyConfig(model_type), 1, "", path, {}));
  return path;
}

// Root mean square of the difference, as a share of that of the tensor, for the worst matrix.
double WorstError(const fs::path& expected_path, const fs::path& found_path) {
  const auto expected = OpenWeights(expected_path), found = OpenWeights(found_path);
  EXPECT_OK(expected);
  EXPECT_OK(found);
  if (!expected.ok() || !found.ok()) return INFINITY;
  EXPECT_EQ((*expected)->weights().size(), (*found)->weights().size());
  double worst = 0;
  for (const WeightInfo& info : (*expected)->weights()) {
    const WeightInfo* other = (*found)->Find(info.name);
    if (other == nullptr || other->shape != info.shape) {
      ADD_FAILURE() << info.name;
      continue;
    }
    const int64_t rows = RowsOf(info.shape).num_rows;
    const auto a = (*expected)->FloatRows(info.name, 0, rows);
    const auto b = (*found)->FloatRows(info.name, 0, rows);
    EXPECT_OK(a);
    EXPECT_OK(b);
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < a->size(); ++i) {
      error += std::pow((*a)[i] - (*b)[i], 2);
      size += std::pow((*a)[i], 2);
    }
    worst = std::max(worst, std::sqrt(error / size));
  }
  return worst;
}

TEST(RandomCheckpointTest, HoldsTheDraftHeadThatTheConfigClaims) {
  const TempDir folder;
  auto config = LoadModelConfig(oneai::testing::DataDir() / "model_configs" / "qwen3_5");
  ASSERT_OK(config);
  EXPECT_OK(WriteRandomCheckpoint(*config, 1, "", folder.path() / "with", {}));
  const auto with = OpenWeights(folder.path() / "with");
  ASSERT_OK(with);
  EXPECT_TRUE(qwen::HasMtp(*config, **with));
  EXPECT_OK(qwen::MatchCheckpoint(*config, **with));
  const auto written = LoadModelConfig(folder.path() / "with");
  ASSERT_OK(written);
  EXPECT_EQ(written->num_mtp_layers, 1);
  config->num_mtp_layers = 0;
  EXPECT_OK(WriteRandomCheckpoint(*config, 1, "", folder.path() / "without", {}));
  const auto without = OpenWeights(folder.path() / "without");
  ASSERT_OK(without);
  EXPECT_FALSE(qwen::HasMtp(*config, **without));
  config->num_mtp_layers = 2;
  EXPECT_EQ(WriteRandomCheckpoint(*config, 1, "", folder.path() / "two", {}).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(ExportTest, GgufOfEveryTypeHoldsTheModel) {
  for (const char* model_type :
       {"qwen2", "qwen3", "qwen3_moe", "llama", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}) {
    const TempDir folder;
    // A_log is stored as -exp(A_log).
    const double exact = TinyConfig(model_type).zero_centered_norms ? 1e-6 : 0;
    const fs::path source = WriteModel(folder, model_type);
    const std::pair<BlockType, double> kBounds[] = {
        {BlockType::kF32, exact},  {BlockType::kBF16, exact}, {BlockType::kF16, 1e-3},
        {BlockType::kQ8_0, 0.007}, {BlockType::kQ6_K, 0.025}, {BlockType::kQ4_K, 0.085},
        {BlockType::kQ4_0, 0.11}};
    for (const auto& [type, bound] : kBounds) {
      const fs::path target = folder.path() / absl::StrCat(TraitsOf(type).name, ".gguf");
      ASSERT_OK(ExportGguf(source, target, type, {}));
      EXPECT_LE(WorstError(source, target), bound) << model_type << " " << TraitsOf(type).name;
      ASSERT_OK_AND_ASSIGN(const ModelConfig config, LoadModelConfigOf(target));
      const ModelConfig original = TinyConfig(model_type);
      EXPECT_EQ(config.family, original.family);
      EXPECT_EQ(config.hidden_size, original.hidden_size);
      EXPECT_EQ(config.tie_word_embeddings, original.tie_word_embeddings);
      EXPECT_EQ(config.moe.num_experts, original.moe.num_experts);
      EXPECT_EQ(config.layer_types, original.layer_types);
      EXPECT_EQ(config.rotary_dim(), original.rotary_dim());
      EXPECT_EQ(config.delta_net.conv_width(), original.delta_net.conv_width());
      EXPECT_EQ(config.rope.scaling, original.rope.scaling);
      EXPECT_EQ(config.rope.llama3_factor, original.rope.llama3_factor);
      EXPECT_EQ(config.rope.llama3_original_positions, original.rope.llama3_original_positions);
      EXPECT_OK(LoadTokenizerOf(target));
    }
  }
}

TEST(ExportTest, GgufBackToSafetensorsLosesNothing) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "llama");
  ASSERT_OK(ExportGguf(source, folder.path() / "m.gguf", BlockType::kBF16, {}));
  ASSERT_OK(ExportFolder(folder.path() / "m.gguf", folder.path() / "back", DType::kBF16, {}));
  ASSERT_OK_AND_ASSIGN(const std::string before, ReadFile(source / "model.safetensors"));
  ASSERT_OK_AND_ASSIGN(const std::string after,
                       ReadFile(folder.path() / "back" / "model.safetensors"));
  EXPECT_EQ(before, after);
  EXPECT_OK(LoadTokenizerOf(folder.path() / "back"));
}

TEST(ExportTest, QuantizedFoldersHoldTheModel) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3_moe");
  const std::tuple<FolderQuantization, const char*, double> kCases[] = {
      {FolderQuantization::kInt8, "GPTQ int8", 0.013},
      {FolderQuantization::kInt4, "GPTQ int4 g128", 0.13},
      {FolderQuantization::kFloat8, "FP8 128x128", 0.04}};
  for (const auto& [quantization, format, bound] : kCases) {
    const fs::path target = folder.path() / absl::StrCat("q", static_cast<int>(quantization));
    ASSERT_OK_AND_ASSIGN(const ExportReport report,
                         ExportQuantizedFolder(source, target, quantization, 0, {}));
    EXPECT_THAT(report.kept, IsEmpty());
    EXPECT_LE(WorstError(source, target), bound) << format;
    ASSERT_OK_AND_ASSIGN(const auto opened, OpenWeights(target));
    EXPECT_EQ(opened->Find("model.layers.0.self_attn.q_proj.weight")->format, format);
    EXPECT_EQ(opened->Find("model.layers.0.mlp.gate.weight")->format, "BF16");
    EXPECT_EQ(opened->Find("model.embed_tokens.weight")->format, "BF16");
    EXPECT_OK(LoadModelConfigOf(target));
    EXPECT_THAT(ExportQuantizedFolder(target, folder.path() / "again", quantization, 0, {}),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
    EXPECT_FALSE(fs::exists(folder.path() / "again"));
  }
}

// Every form that is read to every form that is written (AWQ is not; quantized_folder_test reads
// it).
TEST(ExportTest, EveryFormGoesToEveryOther) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3_moe");
  struct Form {
    const char* name;
    double error;  // of rounding to it, as a share of the numbers
    bool quantized;
    std::function<absl::StatusOr<ExportReport>(const fs::path&, const fs::path&)> write;
  };
  const auto plain = [](DType dtype) {
    return [=](const fs::path& from, const fs::path& to) {
      return ExportFolder(from, to, dtype, {.num_threads = 1});
    };
  };
  const auto gguf = [](BlockType type) {
    return [=](const fs::path& from, const fs::path& to) {
      return ExportGguf(from, to, type, {.num_threads = 1});
    };
  };
  const auto packed = [](FolderQuantization quantization) {
    return [=](const fs::path& from, const fs::path& to) {
      return ExportQuantizedFolder(from, to, quantization, 0, {.num_threads = 1});
    };
  };
  const Form kForms[] = {{"f32", 0, false, plain(DType::kF32)},
                         {"bf16", 4e-3, false, plain(DType::kBF16)},
                         {"f16", 1e-3, false, plain(DType::kF16)},
                         {"fp8", 0.05, true, packed(FolderQuantization::kFloat8)},
                         {"int8", 0.02, true, packed(FolderQuantization::kInt8)},
                         {"int4", 0.16, true, packed(FolderQuantization::kInt4)},
                         {"f32.gguf", 0, false, gguf(BlockType::kF32)},
                         {"bf16.gguf", 4e-3, false, gguf(BlockType::kBF16)},
                         {"f16.gguf", 1e-3, false, gguf(BlockType::kF16)},
                         {"q8_0.gguf", 0.01, true, gguf(BlockType::kQ8_0)},
                         {"q6_k.gguf", 0.035, true, gguf(BlockType::kQ6_K)},
                         {"q4_k.gguf", 0.11, true, gguf(BlockType::kQ4_K)},
                         {"q4_0.gguf", 0.15, true, gguf(BlockType::kQ4_0)}};
  for (const Form& from : kForms) {
    const fs::path first = folder.path() / from.name;
    ASSERT_OK(from.write(source, first)) << from.name;
    for (const Form& to : kForms) {
      const std::string pair = absl::StrCat(from.name, " to ", to.name);
      const fs::path second = folder.path() / absl::StrCat("from-", from.name, "-", to.name);
      const absl::StatusOr<ExportReport> report = to.write(first, second);
      if (from.quantized && to.quantized && !second.string().ends_with(".gguf")) {
        EXPECT_THAT(report, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")))
            << pair;
        continue;
      }
      ASSERT_OK(report) << pair;
      EXPECT_LE(WorstError(first, second), to.error) << pair;
      EXPECT_OK(LoadModelConfigOf(second)) << pair;
      EXPECT_OK(LoadTokenizerOf(second)) << pair;
      fs::remove_all(second);
    }
  }
}

TEST(ExportTest, OutputsDoNotDependOnThreads) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3");
  std::vector<std::string> files;
  for (const int threads : {1, 3}) {
    ExportOptions options;
    options.num_threads = threads;
    options.name = "m";
    const fs::path gguf = folder.path() / absl::StrCat(threads, ".gguf");
    const fs::path packed = folder.path() / absl::StrCat("p", threads);
    const fs::path random = folder.path() / absl::StrCat("r", threads);
    ASSERT_OK(ExportGguf(source, gguf, BlockType::kQ4_K, options));
    ASSERT_OK(ExportQuantizedFolder(source, packed, FolderQuantization::kInt4, 64, options));
    ASSERT_OK(WriteRandomCheckpoint(TinyConfig("qwen3"), 5, "", random, options));
    for (const fs::path& file :
         {gguf, packed / "model.safetensors", random / "model.safetensors"}) {
      ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(file));
      files.push_back(std::move(bytes));
    }
  }
  for (int i = 0; i < 3; ++i) EXPECT_EQ(files[i], files[i + 3]) << i;
}

TEST(ExportTest, RefusesToOverwrite) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3");
  constexpr auto kExists = absl::StatusCode::kAlreadyExists;
  EXPECT_THAT(ExportFolder(source, source, DType::kF32, {}),
              StatusIs(kExists, HasSubstr("source")));
  std::ofstream(folder.path() / "m.gguf") << "mine";
  EXPECT_THAT(ExportGguf(source, folder.path() / "m.gguf", BlockType::kF16, {}),
              StatusIs(kExists, HasSubstr("m.gguf")));
  EXPECT_THAT(ExportGguf(folder.path() / "none", folder.path() / "n.gguf", BlockType::kF16, {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(ExportTest, AFullDiskLeavesNothing) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{64 << 10, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto gguf = ExportGguf(source, folder.path() / "m.gguf", BlockType::kF16, {});
  const auto plain = ExportFolder(source, folder.path() / "f", DType::kF32, {});
  const auto random = WriteRandomCheckpoint(TinyConfig("qwen3"), 1, "", folder.path() / "r", {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  constexpr auto kFull = absl::StatusCode::kResourceExhausted;
  EXPECT_THAT(gguf, StatusIs(kFull, HasSubstr("no space left")));
  EXPECT_THAT(plain, StatusIs(kFull, HasSubstr("no space left")));
  EXPECT_THAT(random, StatusIs(kFull, HasSubstr("no space left")));
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    left.push_back(entry.path().filename().string());
  EXPECT_THAT(left, ::testing::ElementsAre("source"));
}

TEST(ExportTest, RefusesNaN) {
  const TempDir folder;
  const fs::path source = WriteModel(folder, "qwen3");
  std::fstream file(source / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-2, std::ios::end);
  file.write("\xc0\x7f", 2);
  file.close();
  EXPECT_THAT(ExportGguf(source, folder.path() / "m.gguf", BlockType::kQ8_0, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nan")));
  EXPECT_FALSE(fs::exists(folder.path() / "m.gguf"));
}

TEST(RandomCheckpointTest, ShardsAndIsNormal) {
  const TempDir folder;
  ExportOptions options;
  options.shard_bytes_max = 300'000;
  ASSERT_OK(WriteRandomCheckpoint(TinyConfig("qwen2"), 3, "", folder.path() / "m", options));
  EXPECT_TRUE(fs::exists(folder.path() / "m" / "model.safetensors.index.json"));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(folder.path() / "m"));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> values,
                       source->FloatRows("model.layers.1.mlp.down_proj.weight", 0, 256));
  double sum = 0, squares = 0, fourths = 0;
  for (const float value : values) {
    const double z = value / 0.02;
    sum += z;
    squares += z * z;
    fourths += z * z * z * z;
  }
  const double n = static_cast<double>(values.size());  // 98,304: deviations 0.003, 0.005, 0.03
  EXPECT_NEAR(sum / n, 0, 0.015);
  EXPECT_NEAR(squares / n, 1, 0.02);
  EXPECT_NEAR(fourths / n, 3, 0.15);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> norm, source->FloatRows("model.norm.weight", 0, 1));
  EXPECT_EQ(norm[0], 1.f);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> bias,
                       source->FloatRows("model.layers.0.self_attn.q_proj.bias", 0, 1));
  EXPECT_EQ(bias[0], 0.f);
}

TEST(RandomCheckpointTest, QuantilesAreThoseOfTheNormalDistribution) {
  EXPECT_NEAR(NormalQuantile(0.5), 0, 1e-12);
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-9);
  EXPECT_NEAR(NormalQuantile(0.001), -3.090232306167813, 1e-9);
  EXPECT_NEAR(NormalQuantile(1 - 1e-5), 4.264890793922825, 1e-8);
}

TEST(StagedFolderTest, AppearsWholeOrNotAtAll) {
  const TempDir folder;
  {
    ASSERT_OK_AND_ASSIGN(const auto staged, StagedFolder::Create(folder.path() / "m"));
    std::ofstream(staged->path() / "file") << "x";
    EXPECT_FALSE(fs::exists(folder.path() / "m"));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  ASSERT_OK_AND_ASSIGN(const auto staged, StagedFolder::Create(folder.path() / "m"));
  std::ofstream(staged->path() / "file") << "x";
  fs::create_directory(folder.path() / "m");
  std::ofstream(folder.path() / "m" / "other") << "y";
  EXPECT_THAT(staged->Commit(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("meanwhile")));
  fs::remove(folder.path() / "m" / "other");
  ASSERT_OK(staged->Commit());
  EXPECT_TRUE(fs::exists(folder.path() / "m" / "file"));
}

}  // namespace
}  // namespace oneai::models
