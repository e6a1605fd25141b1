// The tokenizer against the real Qwen vocabulary and the cases published with it.
#include "models/tokenizer/tokenizer.h"

#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/pretokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "models/tokenizer/unicode_text.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Contents(const std::filesystem::path& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path, 64 << 20);
  EXPECT_OK(text);
  return text.value_or("");
}

const Tokenizer& Qwen() {
  static const Tokenizer* const tokenizer = [] {
    auto loaded = Tokenizer::Load(testing::DataDir() / "tokenizer");
    EXPECT_OK(loaded);
    return loaded->release();
  }();
  return *tokenizer;
}

TEST(TokenizerTest, MatchesThePublishedCasesOfQwen2) {
  const auto folder = testing::DataDir() / "tokenizer";
  const std::string inputs = Contents(folder / "qwen2_cases.inp");
  const std::string outputs = Contents(folder / "qwen2_cases.out");
  const std::vector<std::string> texts = absl::StrSplit(inputs, "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = absl::StrSplit(outputs, '\n');
  ASSERT_GE(lines.size(), texts.size());
  ASSERT_GE(texts.size(), 40u);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<TokenId> want;
    for (absl::string_view number : absl::StrSplit(lines[i], ' ', absl::SkipEmpty())) {
      TokenId id = 0;
      ASSERT_TRUE(absl::SimpleAtoi(number, &id));
      want.push_back(id);
    }
    EXPECT_EQ(Qwen().Encode(texts[i], SpecialTokens::kAsText), want)
        << "case " << i << ": " << texts[i];
    EXPECT_EQ(Qwen().Decode(want, SpecialText::kKeep), ToNfc(texts[i])) << "case " << i;
  }
}

TEST(TokenizerTest, SplitsAsTheRegularExpressionsDo) {
  ASSERT_OK_AND_ASSIGN(Json cases, ReadJsonFile(testing::DataDir() / "tokenizer" / "splits.json"));
  const std::pair<const char*, SplitPattern> kPatterns[] = {{"gpt2", SplitPattern::kGpt2},
                                                            {"qwen2", SplitPattern::kQwen2},
                                                            {"qwen35", SplitPattern::kQwen35},
                                                            {"llama3", SplitPattern::kLlama3}};
  ASSERT_GT(cases.size(), 300u);
  for (const Json& item : cases)
    for (const auto& [name, pattern] : kPatterns) {
      std::vector<std::string> pieces;
      const std::string text = item["text"];
      ForEachPiece(text, pattern, [&](absl::string_view piece) { pieces.emplace_back(piece); });
      EXPECT_EQ(pieces, item[name].get<std::vector<std::string>>()) << name << ": " << item["text"];
    }
}

TEST(TokenizerTest, SpecialTokensMatchOnlyWhenAsked) {
  const std::string text = "<|im_start|>user\nhi<|im_end|>";
  EXPECT_THAT(Qwen().Encode(text, SpecialTokens::kParse),
              ElementsAre(151644, 872, 198, 6023, 151645));
  const std::vector<TokenId> plain = Qwen().Encode(text, SpecialTokens::kAsText);
  for (TokenId id : plain) EXPECT_FALSE(Qwen().IsSpecial(id));
  EXPECT_EQ(Qwen().Decode(plain, SpecialText::kSkip), text);
  // <tool_call> is added but not special: it matches either way, as in the reference.
  EXPECT_THAT(Qwen().Encode("<tool_call>", SpecialTokens::kAsText), ElementsAre(151657));
  EXPECT_EQ(Qwen().Decode(Qwen().Encode(text, SpecialTokens::kParse), SpecialText::kSkip),
            "user\nhi");
}

TEST(TokenizerTest, NormalizesToNfcAndKeepsIllFormedBytes) {
  EXPECT_EQ(Qwen().Encode("e\xCC\x81", SpecialTokens::kParse),
            Qwen().Encode("\xC3\xA9", SpecialTokens::kParse));
  const std::string broken = "a\xFF e\xCC\x81\xF0\x9F";
  std::string bytes;
  for (TokenId id : Qwen().Encode(broken, SpecialTokens::kParse))
    absl::StrAppend(&bytes, Qwen().TokenBytes(id));
  EXPECT_EQ(bytes, "a\xFF \xC3\xA9\xF0\x9F");
}

TEST(TokenizerTest, LongPiecesAgreeWithShortOnesAndStayFast) {
  // One piece of a million letters: quadratic merging would take hours.
  const std::string letters(1'000'000, 'a');
  const std::vector<TokenId> ids = Qwen().Encode(letters, SpecialTokens::kAsText);
  EXPECT_EQ(Qwen().Decode(ids, SpecialText::kKeep), letters);
  // Both merge paths give the same: encode a long word by the heap, and check it is a fixed point
  // of the rule "no adjacent pair has a merge that outranks what was done" by comparing with a
  // naive implementation.
  const TokenizerSpec& spec = Qwen().spec();
  absl::flat_hash_map<std::pair<std::string, std::string>, size_t> rank;
  for (size_t i = 0; i < spec.merges.size(); ++i) rank[spec.merges[i]] = i;
  std::mt19937 random(7);
  for (int round = 0; round < 20; ++round) {
    std::string word;
    const int length = 30 + static_cast<int>(random() % 60);
    for (int i = 0; i < length; ++i) word.push_back("etaoinsrhld"[random() % 11]);
    std::vector<std::string> symbols;
    for (char c : word) symbols.emplace_back(1, c);
    while (true) {
      size_t best = spec.merges.size(), at = 0;
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        if (auto it = rank.find({symbols[i], symbols[i + 1]});
            it != rank.end() && it->second < best)
          best = it->second, at = i;
      if (best == spec.merges.size()) break;
      symbols[at] += symbols[at + 1];
      symbols.erase(symbols.begin() + at + 1);
    }
    std::vector<TokenId> want;
    for (const std::string& symbol : symbols) want.push_back(*Qwen().FindToken(symbol));
    EXPECT_EQ(Qwen().Encode(word, SpecialTokens::kAsText), want) << word;
  }
}

TEST(TokenizerTest, JsonRoundTripGivesTheSameTokenizer) {
  const std::string json = ToTokenizerJson(Qwen().spec());
  ASSERT_OK_AND_ASSIGN(TokenizerSpec spec, ParseTokenizerJson(json, "tokenizer.json"));
  EXPECT_EQ(ToTokenizerJson(spec), json);
  ASSERT_OK_AND_ASSIGN(auto copy, Tokenizer::Create(std::move(spec)));
  const std::string text = "<|im_start|>Grüße, 世界! 123\n\n  don't <think>x</think>";
  EXPECT_EQ(copy->Encode(text, SpecialTokens::kParse), Qwen().Encode(text, SpecialTokens::kParse));
}

TEST(StreamDecoderTest, NeverEmitsHalfACharacter) {
  const std::string text =
      "🦙 思考 é\xF0\x9F\xA6 end 😶‍🌫️";  // with an ill-formed character inside
  for (const std::string& input : {text, text + "\xE6\x80"}) {
    // Byte tokens, the worst case.
    std::vector<TokenId> ids;
    for (char byte : input) ids.push_back(*Qwen().FindToken(SpellBytes(std::string(1, byte))));
    StreamDecoder decoder(Qwen(), SpecialText::kKeep);
    std::string all;
    for (TokenId id : ids) {
      const std::string part = decoder.Push(id);
      EXPECT_EQ(ReplaceIllFormed(part), part);
      all += part;
    }
    all += decoder.Finish();
    EXPECT_EQ(all, Qwen().Decode(ids, SpecialText::kKeep));
  }
}

// A spec of bytes only, to which tests add.
TokenizerSpec ByteSpec() {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte)
    spec.vocab.emplace_back(SpellBytes(std::string(1, static_cast<char>(byte))), byte);
  return spec;
}

TEST(TokenizerTest, AddedTokenFlagsWorkAsInTheReference) {
  TokenizerSpec spec = ByteSpec();
  spec.added_tokens = {{.id = 300, .content = "<l>", .lstrip = true},
                       {.id = 301, .content = "<r>", .rstrip = true},
                       {.id = 302, .content = "ing", .single_word = true},
                       {.id = 303, .content = "<l><r>"},
                       {.id = 304, .content = "éx", .normalized = true}};
  ASSERT_OK_AND_ASSIGN(auto tokenizer, Tokenizer::Create(spec));
  auto encode = [&](absl::string_view text) {
    return tokenizer->Encode(text, SpecialTokens::kParse);
  };
  EXPECT_THAT(encode("a  <l> b"), ElementsAre('a', 300, ' ', 'b'));
  EXPECT_THAT(encode("a <r>  b"), ElementsAre('a', ' ', 301, 'b'));
  EXPECT_THAT(encode("<l><r>"), ElementsAre(303));
  EXPECT_THAT(encode("going ing"), ElementsAre('g', 'o', 'i', 'n', 'g', ' ', 302));
  EXPECT_THAT(encode("e\xCC\x81x"), ElementsAre(304));
  EXPECT_EQ(tokenizer->vocab_size(), 305);
}

TEST(TokenizerFilesTest, RefusesWhatItDoesNotImplement) {
  const std::string good = ToTokenizerJson(ByteSpec());
  struct Case {
    const char *from, *to;
    absl::StatusCode code;
    const char* message;
  };
  const Case kCases[] = {
      {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", absl::StatusCode::kUnimplemented,
       "model.type"},
      {"\"type\": \"NFC\"", "\"type\": \"NFKC\"", absl::StatusCode::kUnimplemented,
       "normalizer.type"},
      {"\\\\p{N}", "\\\\p{N}{1,3}", absl::StatusCode::kUnimplemented, "unknown pattern"},
      {"\"behavior\": \"Isolated\"", "\"behavior\": \"Removed\"", absl::StatusCode::kUnimplemented,
       "behavior"},
      {"\"byte_fallback\": false", "\"byte_fallback\": true", absl::StatusCode::kUnimplemented,
       "byte_fallback"},
      {"\"dropout\": null", "\"dropout\": 0.1", absl::StatusCode::kUnimplemented, "dropout"},
      {"\"merges\": []", "\"merges\": [\"a\"]", absl::StatusCode::kInvalidArgument, "merges[0]"},
      {"\"merges\": []", "\"merges\": 7", absl::StatusCode::kInvalidArgument, "merges"},
      {"\"a\": 97", "\"a\": -1", absl::StatusCode::kInvalidArgument, "vocab.a"},
      {"\"a\": 97", "\"a\": 1.5", absl::StatusCode::kInvalidArgument, "vocab.a"},
  };
  for (const Case& c : kCases) {
    std::string bad = good;
    const size_t at = bad.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    bad.replace(at, strlen(c.from), c.to);
    EXPECT_THAT(ParseTokenizerJson(bad, "tokenizer.json"), StatusIs(c.code, HasSubstr(c.message)));
  }
  EXPECT_THAT(
      ParseTokenizerJson(good.substr(0, good.size() / 2), "tokenizer.json"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tokenizer.json: not valid JSON")));
}

TEST(TokenizerFilesTest, RefusesInconsistentVocabularies) {
  auto create = [](auto change) {
    TokenizerSpec spec = ByteSpec();
    change(spec);
    return Tokenizer::Create(std::move(spec)).status();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(create([](auto& s) { s.vocab.pop_back(); }), StatusIs(kInvalid, HasSubstr("byte")));
  EXPECT_THAT(create([](auto& s) {
                s.vocab.push_back({"ab", 97});
              }),
              StatusIs(kInvalid, HasSubstr("id 97 is given to two tokens")));
  EXPECT_THAT(create([](auto& s) {
                s.merges = {{"a", "b"}};
              }),
              StatusIs(kInvalid, HasSubstr("number 0")));
  EXPECT_THAT(create([](auto& s) { s.added_tokens = {{.id = 5, .content = "a"}}; }),
              StatusIs(kInvalid, HasSubstr("has id 5 but 97")));
  EXPECT_THAT(create([](auto& s) { s.added_tokens = {{.id = kTokenIdMax, .content = "<x>"}}; }),
              StatusIs(kInvalid, HasSubstr("far above")));
}

TEST(TokenizerFilesTest, MergesAreReadInBothForms) {
  TokenizerSpec spec = ByteSpec();
  spec.vocab.emplace_back("ab", 256);
  spec.merges = {{"a", "b"}};
  std::string json = ToTokenizerJson(spec);
  const size_t at = json.find("\"a b\"");
  ASSERT_NE(at, std::string::npos);
  json.replace(at, 5, "[\"a\", \"b\"]");
  ASSERT_OK_AND_ASSIGN(TokenizerSpec parsed, ParseTokenizerJson(json, "t"));
  EXPECT_EQ(parsed.merges, spec.merges);
}

TEST(TokenizerFilesTest, TokensAroundASequenceAreKept) {
  TokenizerSpec spec = ByteSpec();
  spec.added_tokens = {{.id = 256, .content = "<s>", .special = true},
                       {.id = 257, .content = "</s>", .special = true}};
  spec.prefix = {256};
  spec.suffix = {257, 256};
  ASSERT_OK_AND_ASSIGN(TokenizerSpec parsed, ParseTokenizerJson(ToTokenizerJson(spec), "t"));
  EXPECT_EQ(parsed.prefix, spec.prefix);
  EXPECT_EQ(parsed.suffix, spec.suffix);
}

TEST(TokenizerFilesTest, TheFolderWithoutATokenizerIsNotFound) {
  EXPECT_THAT(Tokenizer::Load("/nonexistent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tokenizer.json")));
}

TEST(TokenizerFilesTest, ReadsTheReleasedTokenizerConfig) {
  ASSERT_OK_AND_ASSIGN(TokenizerConfig config,
                       LoadTokenizerConfig(testing::DataDir() / "tokenizer"));
  EXPECT_EQ(config.eos_token, "<|im_end|>");
  EXPECT_EQ(config.pad_token, "<|endoftext|>");
  EXPECT_FALSE(config.bos_token.has_value());
  EXPECT_EQ(config.model_max_length, 131072);
  ASSERT_TRUE(config.chat_template.has_value());
  EXPECT_THAT(*config.chat_template, HasSubstr("<|im_start|>"));
  ASSERT_OK_AND_ASSIGN(TokenizerConfig again,
                       ParseTokenizerConfig(ToTokenizerConfigJson(config), "t"));
  EXPECT_EQ(ToTokenizerConfigJson(again), ToTokenizerConfigJson(config));
}

TEST(UnicodeTextTest, IllFormedTextIsReplacedByMaximalSubparts) {
  // Unicode 15, table 3-8 and following.
  EXPECT_EQ(ReplaceIllFormed("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x41");
  EXPECT_EQ(ReplaceIllFormed("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(ReplaceIllFormed("\xED\xA0\x80").size(), 9u);
  EXPECT_EQ(IncompleteTailBytes("a\xF0\x9F\xA6"), 3u);
  EXPECT_EQ(IncompleteTailBytes("a\xF0\x9F\xA6\x99"), 0u);
  EXPECT_EQ(IncompleteTailBytes("\x80\x80"), 0u);
  EXPECT_EQ(IncompleteTailBytes("a\xE0\x80"), 0u);  // can no longer become a character
}

// The Qwen2 vocabulary as Qwen-1 spells it: its ids are the ranks.
std::string QwenRanks() {
  std::vector<std::pair<TokenId, std::string>> tokens;
  for (const auto& [spelled, id] : Qwen().spec().vocab)
    tokens.emplace_back(id, *UnspellBytes(spelled));
  std::sort(tokens.begin(), tokens.end());
  std::string text;
  for (const auto& [id, bytes] : tokens)
    absl::StrAppend(&text, absl::Base64Escape(bytes), " ", id, "\n");
  return text;
}

TEST(TiktokenTest, RanksImplyTheMergesThatTheLaterFilesSpellOut) {
  ASSERT_OK_AND_ASSIGN(const TokenizerSpec spec, ParseTiktoken(QwenRanks(), "qwen.tiktoken"));
  EXPECT_EQ(spec.vocab.size(), 151643u);
  EXPECT_EQ(spec.merges, Qwen().spec().merges);
  EXPECT_EQ(spec.added_tokens.front().content, "<|endoftext|>");
  EXPECT_EQ(spec.added_tokens.front().id, 151643);
  EXPECT_EQ(spec.added_tokens.back().content, "<|extra_204|>");
  EXPECT_EQ(spec.added_tokens.back().id, 151850);
}

TEST(TiktokenTest, RefusesWhatIsNoRankFile) {
  const auto refused = [](const std::string& text, const char* problem) {
    EXPECT_THAT(ParseTiktoken(text, "f"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(problem)));
  };
  refused("YQ==", "line 1: must be a token in base64");
  refused("YQ== 1\n", "has rank 1 where 0 is next");
  refused("YQ== 0\nYQ== 1\n", "rank 1 has an earlier rank");
  refused("YQ== 0\nYmM= 1\n", "rank 1 is not made of two better ones");
  refused("!!!! 0\n", "base64");
  refused(absl::StrCat(absl::Base64Escape(std::string(1025, 'a')), " 0\n"), "1025 bytes");
}

}  // namespace
}  // namespace oneai::models
