#include "models/tokenizer/bpe_trainer.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(BpeTrainerTest, JoinsTheMostFrequentPairFirst) {
  // "low" 5, "lower" 2, "newest" 6, "widest" 3: the example of arXiv:1508.07909 (without its end
  // mark).
  std::string corpus;
  for (const auto& [word, count] : std::vector<std::pair<std::string, int>>{
           {"low", 5}, {"lower", 2}, {"newest", 6}, {"widest", 3}})
    for (int i = 0; i < count; ++i) absl::StrAppend(&corpus, word, "\n");
  const absl::string_view documents[] = {corpus};
  BpeTrainerOptions options{.vocab_size = 256 + 5, .special_tokens = {}};
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, TrainBpe(documents, options));
  EXPECT_THAT(spec.merges, ElementsAre(Pair("e", "s"), Pair("es", "t"), Pair("l", "o"),
                                       Pair("lo", "w"), Pair("e", "w")));
}

TEST(BpeTrainerTest, SpecialTokensComeFirstAndAreControlTokens) {
  const absl::string_view documents[] = {"hello hello hello"};
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, TrainBpe(documents, {.vocab_size = 300}));
  EXPECT_EQ(spec.vocab[0], std::make_pair(std::string("<|endoftext|>"), 0));
  EXPECT_EQ(spec.vocab[3].first, "!");  // the alphabet follows in code point order
  ASSERT_OK_AND_ASSIGN(auto tokenizer, Tokenizer::Create(spec));
  EXPECT_THAT(tokenizer->Encode("<|im_end|>", SpecialTokens::kParse), ElementsAre(2));
  EXPECT_TRUE(tokenizer->IsSpecial(2));
}

TEST(BpeTrainerTest, ARunOfOneLetterIsCountedAsTheReferenceDoes) {
  const absl::string_view documents[] = {"aaaa aaaa aaaa"};
  BpeTrainerOptions options{.vocab_size = 259, .min_count = 1, .special_tokens = {}};
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, TrainBpe(documents, options));
  ASSERT_OK_AND_ASSIGN(auto tokenizer, Tokenizer::Create(spec));
  EXPECT_EQ(
      tokenizer->Decode(tokenizer->Encode("aaaa aaaa", SpecialTokens::kParse), SpecialText::kKeep),
      "aaaa aaaa");
  EXPECT_THAT(spec.merges, ElementsAre(Pair("a", "a"), Pair("aa", "aa"), Pair("Ġ", "aaaa")));
}

TEST(BpeTrainerTest, TrainsSavesAndLoads) {
  std::string corpus;
  for (int i = 0; i < 400; ++i)
    absl::StrAppend(&corpus, "The king said: thou art number ", i, ", 国王说 ", i * 7, ".\n");
  const absl::string_view documents[] = {corpus, "another document, with other words entirely"};
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, TrainBpe(documents, {.vocab_size = 512}));
  EXPECT_LE(spec.vocab.size(), 512u);
  ASSERT_OK_AND_ASSIGN(TokenizerSpec again, TrainBpe(documents, {.vocab_size = 512}));
  EXPECT_EQ(spec.vocab, again.vocab);
  EXPECT_EQ(spec.merges, again.merges);

  const auto folder = std::filesystem::path(::testing::TempDir()) / "trained_tokenizer";
  std::filesystem::create_directories(folder);
  ASSERT_OK(SaveTokenizer(spec, MakeTokenizerConfig(spec, "{{ messages }}", 1024), folder));
  ASSERT_OK_AND_ASSIGN(auto tokenizer, Tokenizer::Load(folder));
  const std::vector<TokenId> ids = tokenizer->Encode(corpus, SpecialTokens::kParse);
  EXPECT_LT(ids.size() * 2, corpus.size());
  EXPECT_EQ(tokenizer->Decode(ids, SpecialText::kKeep), corpus);
  ASSERT_OK_AND_ASSIGN(TokenizerConfig config, LoadTokenizerConfig(folder));
  EXPECT_EQ(config.chat_template, "{{ messages }}");
  EXPECT_EQ(config.eos_token, "<|im_end|>");
}

TEST(BpeTrainerTest, RefusesImpossibleOptions) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(TrainBpe({}, {.vocab_size = 200}), StatusIs(kInvalid, HasSubstr("vocab_size 200")));
  EXPECT_THAT(TrainBpe({}, {.special_tokens = {"<a>", "<a>"}}),
              StatusIs(kInvalid, HasSubstr("<a>")));
}

TEST(BpeTrainerTest, AnEmptyCorpusGivesTheBytes) {
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, TrainBpe({}, {}));
  EXPECT_EQ(spec.vocab.size(), 259u);
}

}  // namespace
}  // namespace oneai::models
