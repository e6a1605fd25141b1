#include "models/model_tool/inspection.h"

#include <fstream>

#include "absl/strings/str_join.h"
#include "base/files/files.h"
#include "models/quantize/random_checkpoint.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::oneai::testing::TempDir;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class InspectionTest : public ::testing::Test {
 protected:
  InspectionTest() {
    const auto config = ParseModelConfig(
        R"({"model_type":"qwen3","vocab_size":300,"hidden_size":64,"intermediate_size":96,)"
        R"("num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":32,)"
        R"("tie_word_embeddings":true,"torch_dtype":"bfloat16"})",
        "config.json");
    EXPECT_OK(config);
    EXPECT_OK(WriteRandomCheckpoint(*config, 1, "", path(), {}));
  }
  fs::path path() const { return folder_.path() / "m"; }
  std::vector<std::string> Findings() const {
    const auto result = VerifyModel(path(), Checksums::kIfListed, nullptr);
    EXPECT_OK(result);
    return result.ok() ? result->findings : std::vector<std::string>();
  }
  void Overwrite(const char* name, const std::string& content) const {
    std::ofstream(path() / name, std::ios::trunc) << content;
  }

  const TempDir folder_;
};

TEST_F(InspectionTest, SaysWhatTheFilesHold) {
  ASSERT_OK_AND_ASSIGN(const OrderedJson inspection, InspectModel(path(), TensorList::kInclude));
  EXPECT_EQ(inspection["architecture"], "qwen3");
  // Embedding, four projections, three of the MLP, norms.
  const int64_t parameters = 300 * 64 + (64 + 32 + 32 + 64) * 64 + 3 * 96 * 64 + 3 * 64 + 2 * 32;
  EXPECT_EQ(inspection["parameters"], parameters);
  EXPECT_EQ(inspection["encodings"].size(), 1u);
  EXPECT_EQ(inspection["encodings"][0]["format"], "BF16");
  EXPECT_THAT(inspection["problems"], IsEmpty());
  EXPECT_EQ(inspection["tensors"].size(), 13u);
  const std::string text = InspectionText(inspection);
  EXPECT_THAT(text, HasSubstr("parameters:    50,176"));
  EXPECT_THAT(text, HasSubstr("model.norm.weight [64] BF16"));
  EXPECT_THAT(InspectModel(folder_.path() / "none", TensorList::kLeaveOut),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(InspectionTest, FindsNothingInAGoodModel) {
  EXPECT_THAT(Findings(), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const Verification result,
                       VerifyModel(path(), Checksums::kCompute, nullptr));
  EXPECT_EQ(result.sha256.size(), 4u);
  EXPECT_THAT(result.passed, Contains(HasSubstr("finite")));
}

TEST_F(InspectionTest, FindsNaNWithItsPlace) {
  std::fstream file(path() / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-2, std::ios::end);
  file.write("\xc0\x7f", 2);
  file.close();
  EXPECT_THAT(Findings(),
              ElementsAre(HasSubstr("model.norm.weight': rows from 0: element [0][63] is nan")));
}

TEST_F(InspectionTest, FindsTruncation) {
  fs::resize_file(path() / "model.safetensors", fs::file_size(path() / "model.safetensors") - 8);
  EXPECT_THAT(Findings(), Contains(HasSubstr("truncated")));
}

TEST_F(InspectionTest, FindsAConfigurationThatDoesNotFit) {
  ASSERT_OK_AND_ASSIGN(std::string config, ReadFile(path() / "config.json"));
  config.replace(config.find("\"intermediate_size\": 96"), 23, "\"intermediate_size\": 97");
  Overwrite("config.json", config);
  EXPECT_THAT(Findings(), Contains(HasSubstr("mlp.gate_proj.weight")));
  Overwrite("config.json", "{");
  EXPECT_THAT(Findings(), Contains(HasSubstr("config.json")));
}

TEST_F(InspectionTest, FindsBadTokenizersAndTemplates) {
  Overwrite("chat_template.jinja", "{% if %}");
  EXPECT_THAT(Findings(), ElementsAre(HasSubstr("chat template")));
  Overwrite("tokenizer.json", "[]");
  EXPECT_THAT(Findings(), Contains(HasSubstr("tokenizer.json")));
}

TEST_F(InspectionTest, ComparesChecksums) {
  ASSERT_OK_AND_ASSIGN(const std::string sum, Sha256HexOfFile(path() / "config.json"));
  Overwrite("SHA256SUMS", sum + "  config.json\n");
  EXPECT_THAT(Findings(), IsEmpty());
  Overwrite("SHA256SUMS", std::string(64, '0') + "  config.json\n" + sum + "  gone.json\n");
  const std::string findings = absl::StrJoin(Findings(), "\n");
  EXPECT_THAT(findings, HasSubstr("config.json: SHA-256 is " + sum));
  EXPECT_THAT(findings, HasSubstr("gone.json: is listed"));
}

}  // namespace
}  // namespace oneai::models
