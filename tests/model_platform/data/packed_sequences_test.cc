#include "model_platform/data/packed_sequences.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace oneai::platform {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kVocab = 1000;

// Documents of `lengths` tokens; every token of the file is another id.
TokenFile MakeFile(const std::vector<int64_t>& lengths) {
  const std::filesystem::path prefix =
      std::filesystem::path(::testing::TempDir()) /
      ::testing::UnitTest::GetInstance()->current_test_info()->name();
  auto writer = *TokenFileWriter::Create(prefix, kVocab);
  int32_t next = 0;
  for (const int64_t length : lengths) {
    std::vector<int32_t> document(length);
    std::iota(document.begin(), document.end(), next);
    next += static_cast<int32_t>(length);
    EXPECT_TRUE(writer->Add(document).ok());
  }
  EXPECT_TRUE(writer->Finish().ok());
  return *TokenFile::Open(prefix);
}

const std::vector<int64_t> kLengths = {5, 1, 40, 7, 7, 2, 19, 3, 11, 1};

TEST(PackedSequencesTest, TargetsFollowWithinDocumentsAndEndAtTheirEnds) {
  ASSERT_OK_AND_ASSIGN(PackedSequences packed,
                       PackedSequences::Create(MakeFile(kLengths), 8, kVocab, 1));
  std::vector<int64_t> last_of_document;
  int64_t end = 0;
  for (const int64_t length : kLengths) last_of_document.push_back((end += length) - 1);
  for (int64_t sample = 0; sample < 3 * packed.sequences_per_epoch(); ++sample) {
    ASSERT_OK_AND_ASSIGN(const PackedSequence s, packed.Get(sample));
    ASSERT_EQ(s.tokens.size(), 8u);
    ASSERT_EQ(s.targets.size(), 8u);
    ASSERT_EQ(s.document_starts.front(), 0);
    for (size_t i = 0; i < 8; ++i) {
      const bool is_last = std::ranges::count(last_of_document, s.tokens[i]) > 0;
      EXPECT_EQ(s.targets[i], is_last ? kIgnoredLabel : s.tokens[i] + 1);
      // A document begins exactly where the one before it ended.
      if (i > 0) {
        const bool starts = std::ranges::count(s.document_starts, static_cast<int64_t>(i)) > 0;
        EXPECT_EQ(starts, std::ranges::count(last_of_document, s.tokens[i - 1]) > 0);
      }
    }
  }
}

TEST(PackedSequencesTest, AnEpochShowsNoTokenTwiceAndAllButTheTail) {
  ASSERT_OK_AND_ASSIGN(PackedSequences packed,
                       PackedSequences::Create(MakeFile(kLengths), 8, kVocab, 1));
  EXPECT_EQ(packed.sequences_per_epoch(), 96 / 8);
  std::map<int64_t, int> seen;
  for (int64_t sample = 0; sample < packed.sequences_per_epoch(); ++sample) {
    ASSERT_OK_AND_ASSIGN(const PackedSequence s, packed.Get(sample));
    for (const int64_t token : s.tokens) ++seen[token];
  }
  EXPECT_EQ(seen.size(), 96u);
}

TEST(PackedSequencesTest, ASampleDoesNotDependOnWhatWasAskedBefore) {
  ASSERT_OK_AND_ASSIGN(PackedSequences forward,
                       PackedSequences::Create(MakeFile(kLengths), 8, kVocab, 7));
  std::vector<std::vector<int64_t>> tokens;
  for (int64_t i = 0; i < 30; ++i) tokens.push_back(forward.Get(i)->tokens);
  ASSERT_OK_AND_ASSIGN(PackedSequences backward,
                       PackedSequences::Create(MakeFile(kLengths), 8, kVocab, 7));
  for (int64_t i = 29; i >= 0; --i) EXPECT_EQ(backward.Get(i)->tokens, tokens[i]);
}

TEST(PackedSequencesTest, EpochsAndSeedsDiffer) {
  auto epoch = [](uint64_t seed, int64_t number) {
    PackedSequences packed = *PackedSequences::Create(MakeFile(kLengths), 8, kVocab, seed);
    std::vector<int64_t> all;
    for (int64_t i = 0; i < packed.sequences_per_epoch(); ++i) {
      const PackedSequence s = *packed.Get(number * packed.sequences_per_epoch() + i);
      all.insert(all.end(), s.tokens.begin(), s.tokens.end());
    }
    return all;
  };
  EXPECT_NE(epoch(1, 0), epoch(1, 1));
  EXPECT_NE(epoch(1, 0), epoch(2, 0));
  EXPECT_EQ(epoch(1, 1), epoch(1, 1));
}

TEST(PackedSequencesTest, TooLittleDataIsAnError) {
  EXPECT_THAT(PackedSequences::Create(MakeFile({3}), 8, kVocab, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("max_length")));
}

TEST(PackedSequencesTest, IdsOutsideTheVocabularyAreDataLoss) {
  ASSERT_OK_AND_ASSIGN(PackedSequences packed, PackedSequences::Create(MakeFile({16}), 16, 10, 1));
  EXPECT_THAT(packed.Get(0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("vocabulary")));
}

}  // namespace
}  // namespace oneai::platform
