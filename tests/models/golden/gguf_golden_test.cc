// A fixture that goes to GGUF and back still matches the reference implementation: names, order of
// rows and values survive both translations.
#include <filesystem>

#include "gtest/gtest.h"
#include "models/config/model_config.h"
#include "models/golden/golden.h"
#include "models/quantize/export.h"
#include "models/quantize/random_checkpoint.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models::golden {
namespace {

namespace fs = std::filesystem;

// Runs fixture `from` after its weights and configuration went through a GGUF file.
void ExpectMatchesThroughGguf(const fs::path& from) {
  const oneai::testing::TempDir folder;
  const fs::path source = folder.path() / "source", tokenizer = folder.path() / "tokenizer";
  fs::copy(from, source);
  // Fixtures have no tokenizer, GGUF files must have one.
  ASSERT_OK_AND_ASSIGN(ModelConfig config, LoadModelConfig(source));
  ASSERT_OK(WriteRandomCheckpoint(config, 1, "", tokenizer, {}));
  for (const char* file : {"tokenizer.json", "tokenizer_config.json"})
    fs::copy_file(tokenizer / file, source / file);
  ASSERT_OK(ExportGguf(source, folder.path() / "m.gguf", BlockType::kF32, {}));
  const fs::path back = folder.path() / "back";
  ASSERT_OK(ExportFolder(folder.path() / "m.gguf", back, DType::kF32, {}));
  for (const char* file : {"golden.json", "golden.safetensors"})
    fs::copy_file(from / file, back / file);
  ASSERT_OK_AND_ASSIGN(const Report report, RunFixture(back));
  EXPECT_TRUE(report.Passed()) << report.ToText();
}

TEST(GgufGoldenTest, HybridOfExperts) {
  ExpectMatchesThroughGguf(testing::DataDir() / "golden" / "qwen3_next");
}

TEST(GgufGoldenTest, ExpertsBesideASharedOne) {
  ExpectMatchesThroughGguf(testing::DataDir() / "golden" / "qwen2_moe");
}

TEST(GgufGoldenTest, Yarn) {
  ExpectMatchesThroughGguf(testing::DataDir() / "golden" / "qwen2_yarn");
}

TEST(GgufGoldenTest, SharedFixtures) {
  const auto shared = testing::SharedDir();
  if (!shared) GTEST_SKIP() << "the full golden folder is not on this machine (ONEAI_SHARED_DIR)";
  for (const char* name : {"qwen2_tied", "qwen2_untied", "qwen3", "qwen3_moe", "qwen3_next",
                           "qwen3_5", "qwen3_5_moe"}) {
    SCOPED_TRACE(name);
    ExpectMatchesThroughGguf(*shared / "golden" / name);
  }
}

}  // namespace
}  // namespace oneai::models::golden
