#include "model_platform/registry/model_registry.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "base/clock.h"
#include "base/files/files.h"
#include "base/store/memory_store.h"
#include "model_platform/registry/version_files.h"
#include "models/quantize/export.h"
#include "testing/tiny_model.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

namespace fs = std::filesystem;
using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ModelRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    Open();
    testing::WriteTinyModel(root_ / "artifacts" / "job1" / "final", 0.1f);
    fs::create_directories(root_ / "artifacts" / "job1" / "final" / "trainer");
    std::ofstream(root_ / "artifacts" / "job1" / "final" / "trainer" / "optimizer") << "big";
  }
  void Open() {
    registry_ =
        *ModelRegistry::Open(store_.get(), &clock_, root_ / "artifacts", root_ / "registry");
  }
  absl::StatusOr<registry::v1::ModelVersion> Register(const std::string& name,
                                                      const std::string& source,
                                                      const std::string& alias = "") {
    registry::v1::RegisterModelRequest request;
    request.set_name(name);
    request.set_source_dir(source);
    request.mutable_lineage()->set_job_id("job1");
    if (!alias.empty()) request.add_aliases(alias);
    return registry_->Register(request, {});
  }
  // A second folder with other weights.
  std::string OtherSource() {
    testing::WriteTinyModel(root_ / "artifacts" / "job2" / "final", 0.2f);
    return "job2/final";
  }

  fs::path root_;
  std::unique_ptr<Store> store_ = NewMemoryStore();
  FakeClock clock_;
  std::unique_ptr<ModelRegistry> registry_;
};

TEST_F(ModelRegistryTest, VersionHoldsTheModelAndNotTheTrainersState) {
  ASSERT_OK_AND_ASSIGN(const auto version, Register("retail/bard", "job1/final"));
  EXPECT_EQ(version.version(), 1);
  EXPECT_EQ(version.architecture(), "Qwen3ForCausalLM");
  EXPECT_GT(version.num_parameters(), 10000);
  EXPECT_EQ(version.path(), (root_ / "registry" / "retail" / "bard" / "1").string());
  std::vector<std::string> paths;
  for (const auto& file : version.files()) {
    paths.push_back(file.path());
    EXPECT_EQ(*Sha256HexOfFile(fs::path(version.path()) / file.path()), file.sha256());
  }
  EXPECT_THAT(paths, ElementsAre("config.json", "model.safetensors", "tokenizer.json",
                                 "tokenizer_config.json"));
  EXPECT_EQ(version.lineage().job_id(), "job1");
}

TEST_F(ModelRegistryTest, HoldsQuantizedFoldersGgufFilesAndAdapters) {
  const fs::path artifacts = root_ / "artifacts" / "job1";
  ASSERT_OK(models::ExportQuantizedFolder(artifacts / "final", artifacts / "int8",
                                          models::FolderQuantization::kInt8, -1, {}));
  fs::create_directories(artifacts / "gguf");
  ASSERT_OK(models::ExportGguf(artifacts / "final", artifacts / "gguf" / "model.gguf",
                               models::BlockType::kQ8_0, {}));
  fs::copy(oneai::testing::DataDir() / "golden/qwen2_lora/adapter_a", artifacts / "adapter");
  const auto plain = Register("retail/bard", "job1/final");
  for (const char* form : {"int8", "gguf"}) {
    ASSERT_OK_AND_ASSIGN(const auto version,
                         Register(absl::StrCat("retail/bard-", form), absl::StrCat("job1/", form)));
    EXPECT_EQ(version.architecture(), "Qwen3ForCausalLM");
    EXPECT_EQ(version.num_parameters(), plain->num_parameters());
  }
  ASSERT_OK_AND_ASSIGN(const auto adapter, Register("retail/law", "job1/adapter"));
  EXPECT_EQ(adapter.architecture(), "LoraAdapter");
  EXPECT_GT(adapter.num_parameters(), 0);
  std::ofstream(artifacts / "adapter" / "adapter_config.json") << "{";
  EXPECT_THAT(Register("retail/law", "job1/adapter"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("adapter_config.json")));
}

TEST_F(ModelRegistryTest, SameContentIsTheSameVersion) {
  ASSERT_OK_AND_ASSIGN(const auto first, Register("retail/bard", "job1/final"));
  ASSERT_OK_AND_ASSIGN(const auto again,
                       Register("retail/bard", (root_ / "artifacts/job1/final").string()));
  EXPECT_EQ(again.version(), 1);
  EXPECT_EQ(again.sha256(), first.sha256());
  ASSERT_OK_AND_ASSIGN(const auto other, Register("retail/bard", OtherSource()));
  EXPECT_EQ(other.version(), 2);
  ASSERT_OK_AND_ASSIGN(const auto elsewhere, Register("bank/bard", "job1/final"));
  EXPECT_EQ(elsewhere.version(), 1);
}

TEST_F(ModelRegistryTest, RefsAndAliasesResolve) {
  ASSERT_OK(Register("retail/bard", "job1/final", "champion"));
  ASSERT_OK(Register("retail/bard", OtherSource()));
  EXPECT_EQ(registry_->Resolve("retail/bard")->version(), 2);
  EXPECT_EQ(registry_->Resolve("retail/bard@1")->version(), 1);
  EXPECT_EQ(registry_->Resolve("retail/bard@champion")->version(), 1);
  ASSERT_OK(registry_->SetAlias("retail/bard@2", "champion"));
  EXPECT_EQ(registry_->Resolve("retail/bard@champion")->version(), 2);
  EXPECT_THAT(registry_->Resolve("retail/bard@1")->aliases(), IsEmpty());
  EXPECT_THAT(registry_->Resolve("retail/bard@3"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("newest version is 2")));
  EXPECT_THAT(registry_->Resolve("retail/poet"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/poet")));
  EXPECT_THAT(registry_->Resolve("../bard"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("../bard")));
  EXPECT_THAT(registry_->SetAlias("retail/bard", "7"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("number")));
}

TEST_F(ModelRegistryTest, NamesThatSharePrefixesStayApart) {
  ASSERT_OK(Register("retail/bard", "job1/final"));
  ASSERT_OK(Register("retail/bard-2", OtherSource()));
  EXPECT_EQ(registry_->Resolve("retail/bard")->name(), "retail/bard");
  ASSERT_OK_AND_ASSIGN(const auto all, registry_->List());
  EXPECT_THAT(all, SizeIs(2));
}

TEST_F(ModelRegistryTest, EvaluationsAttachOncePerJobAndTask) {
  ASSERT_OK(Register("retail/bard", "job1/final"));
  registry::v1::Evaluation evaluation;
  evaluation.set_job_id("job9");
  evaluation.set_task("perplexity");
  (*evaluation.mutable_metrics())["perplexity"] = 12.5;
  ASSERT_OK(registry_->AttachEvaluation("retail/bard", evaluation));
  (*evaluation.mutable_metrics())["perplexity"] = 12.25;
  ASSERT_OK_AND_ASSIGN(const auto version,
                       registry_->AttachEvaluation("retail/bard@1", evaluation));
  ASSERT_THAT(version.evaluations(), SizeIs(1));
  EXPECT_EQ(version.evaluations(0).metrics().at("perplexity"), 12.25);
  EXPECT_THAT(registry_->AttachEvaluation("retail/bard", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("task")));
}

TEST_F(ModelRegistryTest, SourcesCannotEscape) {
  testing::WriteTinyModel(root_ / "outside", 0.1f);
  fs::create_directory_symlink(root_ / "outside", root_ / "artifacts" / "link");
  for (const std::string& source :
       {std::string("../outside"), (root_ / "outside").string(), std::string("link"),
        std::string("job1/../../outside"), std::string("."), std::string("")}) {
    EXPECT_THAT(Register("retail/bard", source),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("source_dir")))
        << source;
  }
  EXPECT_THAT(*registry_->List(), IsEmpty());
}

TEST_F(ModelRegistryTest, LinksWithinTheFolderAreRefused) {
  std::ofstream(root_ / "secret") << "password";
  fs::create_symlink(root_ / "secret", root_ / "artifacts/job1/final/notes.txt");
  EXPECT_THAT(Register("retail/bard", "job1/final"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("notes.txt")));
}

TEST_F(ModelRegistryTest, WhatDoesNotLoadIsRefusedByFile) {
  const fs::path final = root_ / "artifacts/job1/final";
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    const std::string whole = *ReadFile(final / name);
    ASSERT_OK(WriteFileAtomically(final / name, whole.substr(0, whole.size() / 2)));
    EXPECT_THAT(Register("retail/bard", "job1/final"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
    ASSERT_OK(WriteFileAtomically(final / name, whole));
  }
  ASSERT_OK(
      WriteFileAtomically(final / "manifest.json",
                          R"({"files":[{"path":"config.json","size_bytes":3,"sha256":"0"}]})"));
  EXPECT_THAT(Register("retail/bard", "job1/final"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not whole")));
  // Nothing is left behind.
  for (const auto& entry : fs::directory_iterator(root_ / "registry")) {
    ADD_FAILURE() << entry.path();
  }
}

TEST_F(ModelRegistryTest, WhatACrashLeftIsReplaced) {
  // Killed after the rename and before the commit: a folder without a record. And one in staging.
  fs::create_directories(root_ / "registry/retail/bard/1");
  std::ofstream(root_ / "registry/retail/bard/1/config.json") << "half";
  fs::create_directories(root_ / "registry/.tmp-abc");
  Open();
  EXPECT_FALSE(fs::exists(root_ / "registry/.tmp-abc"));
  ASSERT_OK_AND_ASSIGN(const auto version, Register("retail/bard", "job1/final"));
  EXPECT_EQ(version.version(), 1);
  EXPECT_OK(models::LoadModelConfig(version.path()));
}

TEST_F(ModelRegistryTest, FilePathKnowsOnlyListedFiles) {
  ASSERT_OK_AND_ASSIGN(const auto version, Register("retail/bard", "job1/final"));
  EXPECT_OK(registry_->FilePath(version, "config.json"));
  EXPECT_THAT(registry_->FilePath(version, "../2/config.json"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no file")));
}

}  // namespace
}  // namespace oneai::platform
