#include "data_gov/catalog/catalog.h"

#include <fstream>

#include "base/files/files.h"
#include "base/ids.h"
#include "base/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::gov {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Open(store_.get(), &clock_, root_));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  data::v1::DatasetHeader Header(const std::vector<std::pair<std::string, std::string>>& files) {
    data::v1::DatasetHeader header;
    header.set_name("retail/orders");
    header.set_classification(data::v1::INTERNAL);
    header.add_allowed_purposes("pretraining");
    for (const auto& [path, content] : files) {
      data::v1::DatasetFile& file = *header.add_files();
      file.set_path(path);
      file.set_size_bytes(static_cast<int64_t>(content.size()));
    }
    return header;
  }

  absl::StatusOr<data::v1::DatasetVersion> Register(const data::v1::DatasetHeader& header,
                                                    const std::string& content) {
    auto intake = catalog_->Begin(header, {});
    if (!intake.ok()) return intake.status();
    if (absl::Status appended = (*intake)->Append(content); !appended.ok()) return appended;
    return (*intake)->Finish();
  }

  const std::filesystem::path root_ =
      std::filesystem::path(::testing::TempDir()) / NewId("catalog-");
  FakeClock clock_;
  std::unique_ptr<Store> store_ = NewMemoryStore();
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, AVersionHoldsEachFileByItsHash) {
  ASSERT_OK_AND_ASSIGN(
      const auto version,
      Register(Header({{"a.txt", "hello\n"}, {"empty", ""}, {"sub/b.txt", "world\n"}}),
               "hello\nworld\n"));
  EXPECT_EQ(version.version(), 1);
  // From `sha256sum`.
  EXPECT_EQ(version.header().files(0).sha256(),
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  ASSERT_OK_AND_ASSIGN(const auto path, catalog_->ContentPath(version, "sub/b.txt"));
  ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(path));
  EXPECT_EQ(content, "world\n");
}

TEST_F(CatalogTest, TheSameContentIsTheSameVersion) {
  const auto header = Header({{"a.txt", "hello\n"}});
  ASSERT_OK_AND_ASSIGN(const auto first, Register(header, "hello\n"));
  ASSERT_OK(Register(header, "other\n"));
  ASSERT_OK_AND_ASSIGN(const auto again, Register(header, "other\n"));
  EXPECT_EQ(again.version(), 2);
  ASSERT_OK_AND_ASSIGN(const auto old, catalog_->Get("retail/orders@1"));
  EXPECT_EQ(old.sha256(), first.sha256());
  EXPECT_THAT(catalog_->Get("retail/orders@7"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/orders@7")));
  EXPECT_THAT(catalog_->Get("retail/orders@x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("version")));
}

TEST_F(CatalogTest, PathsThatEscapeAreRefused) {
  for (const char* path : {"../a", "/etc/passwd", "a/../../b", "", "a\\b"}) {
    EXPECT_THAT(Register(Header({{path, "x"}}), "x"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("files")))
        << path;
  }
  EXPECT_THAT(Register(Header({{"a", "x"}, {"a", "y"}}), "xy"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
}

TEST_F(CatalogTest, HeadersAreChecked) {
  auto header = Header({{"a", "x"}});
  header.set_name("orders");
  EXPECT_THAT(Register(header, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name")));
  header = Header({{"a", "x"}});
  header.set_allowed_purposes(0, "pretraning");
  EXPECT_THAT(Register(header, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pretraining")));
  header = Header({{"a", "x"}});
  header.clear_classification();
  EXPECT_THAT(Register(header, "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("classification")));
}

TEST_F(CatalogTest, PersonalDataNeedsItsClassification) {
  const std::string text = "mail bob@example.com\n";
  auto header = Header({{"a.txt", text}});
  EXPECT_THAT(Register(header, text),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1 email")));
  EXPECT_THAT(catalog_->Get("retail/orders"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/orders")));
  header.set_classification(data::v1::RESTRICTED);
  ASSERT_OK_AND_ASSIGN(const auto version, Register(header, text));
  ASSERT_EQ(version.pii_size(), 1);
  EXPECT_EQ(version.pii(0).kind(), "email");
}

TEST_F(CatalogTest, WrongAmountsOfBytesAreRefused) {
  const auto header = Header({{"a.txt", "hello\n"}});
  EXPECT_THAT(Register(header, "hell"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4 of 6")));
  EXPECT_THAT(Register(header, "hello\n!"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than")));
  auto declared = header;
  declared.mutable_files(0)->set_sha256(std::string(64, '0'));
  EXPECT_THAT(Register(declared, "hello\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("SHA-256")));
}

TEST_F(CatalogTest, ABrokenIntakeLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(const auto intake, catalog_->Begin(Header({{"a.txt", "hello\n"}}), {}));
    ASSERT_OK(intake->Append("hel"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_ / "intake"));
  EXPECT_THAT(catalog_->Get("retail/orders"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("retail/orders")));
}

}  // namespace
}  // namespace oneai::gov
