#include "model_platform/data/token_file.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files/files.h"
#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    prefix_ = std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void Write(int64_t vocab_size) {
    ASSERT_OK_AND_ASSIGN(auto writer, TokenFileWriter::Create(prefix_, vocab_size));
    ASSERT_OK(writer->Add(std::vector<int32_t>{5, 6, 7}));
    ASSERT_OK(writer->Add(std::vector<int32_t>{1}));
    ASSERT_OK(writer->Finish());
  }
  std::string Bytes(const char* suffix) { return *ReadFile(prefix_.string() + suffix); }

  std::filesystem::path prefix_;
};

TEST_F(TokenFileTest, IsMegatronsFormatByteForByte) {
  Write(300);
  EXPECT_EQ(Bytes(".bin"), std::string("\5\0\6\0\7\0\1\0", 8));
  const std::string expected =
      std::string("MMIDIDX\0\0", 9) + std::string("\1\0\0\0\0\0\0\0", 8) + "\x08" +
      std::string("\2\0\0\0\0\0\0\0", 8) + std::string("\3\0\0\0\0\0\0\0", 8) +
      std::string("\3\0\0\0\1\0\0\0", 8) + std::string("\0\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0", 16) +
      std::string("\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0", 24);
  EXPECT_EQ(Bytes(".idx"), expected);
}

TEST_F(TokenFileTest, LargeVocabulariesTakeInt32) {
  Write(kUint16VocabLimit);
  EXPECT_EQ(Bytes(".bin").size(), 16u);
  EXPECT_EQ(Bytes(".idx")[17], 4);
}

TEST_F(TokenFileTest, ReadsBackSlices) {
  for (const int64_t vocab_size : {int64_t{300}, int64_t{151936}}) {
    Write(vocab_size);
    ASSERT_OK_AND_ASSIGN(const TokenFile file, TokenFile::Open(prefix_));
    EXPECT_EQ(file.num_documents(), 2);
    EXPECT_EQ(file.num_tokens(), 4);
    EXPECT_EQ(file.length(0), 3);
    std::vector<int64_t> tokens;
    file.Append(0, 1, 2, tokens);
    file.Append(1, 0, 1, tokens);
    EXPECT_THAT(tokens, ElementsAre(6, 7, 1));
  }
}

TEST_F(TokenFileTest, EveryTruncationAndFlippedFieldIsRefused) {
  Write(300);
  const std::string idx = Bytes(".idx");
  for (size_t size = 0; size < idx.size(); ++size) {
    ASSERT_OK(WriteFileAtomically(prefix_.string() + ".idx", idx.substr(0, size)));
    EXPECT_THAT(TokenFile::Open(prefix_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(".idx")))
        << size;
  }
  for (size_t at = 0; at < idx.size(); ++at) {
    std::string bad = idx;
    bad[at] = static_cast<char>(bad[at] ^ 0x81);
    ASSERT_OK(WriteFileAtomically(prefix_.string() + ".idx", bad));
    // Only a document start may be another one in order; nothing else may pass.
    const absl::StatusOr<TokenFile> opened = TokenFile::Open(prefix_);
    if (opened.ok()) {
      EXPECT_LE(opened->num_tokens(), 4);
    }
  }
}

TEST_F(TokenFileTest, TornTokensAreRefused) {
  Write(300);
  std::filesystem::resize_file(prefix_.string() + ".bin", 6);
  EXPECT_THAT(TokenFile::Open(prefix_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("describes 8 bytes")));
}

TEST_F(TokenFileTest, WriterRefusesForeignIdsAndLeavesNoTrace) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, TokenFileWriter::Create(prefix_, 300));
    EXPECT_THAT(writer->Add(std::vector<int32_t>{300}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("300")));
  }
  EXPECT_FALSE(std::filesystem::exists(prefix_.string() + ".bin"));
  EXPECT_THAT(TokenFile::Open(prefix_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(".bin")));
}

}  // namespace
}  // namespace oneai::platform
