// What the tests of grammars share: a small vocabulary whose tokens cross every boundary that a
// grammar has, and ways to run a matcher.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "serving/grammar/grammar.h"
#include "serving/grammar/grammar_matcher.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {

// Ids 0 to 255 are the bytes; then come tokens of several bytes, one id without text and the end.
inline std::vector<std::string> TestTokens() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  for (const char* text : {"\":",
                           "\": ",
                           "\":\"",
                           "\": \"",
                           "\",",
                           "\", ",
                           "\",\"",
                           "\", \"",
                           "\"}",
                           "\"}}",
                           "}}",
                           "}}}",
                           "]}",
                           "}]",
                           "]]",
                           "[[",
                           "[[[",
                           "{\"",
                           "[{\"",
                           "[]",
                           "{}",
                           "[\"",
                           "\"]",
                           "\"],",
                           "},",
                           "}, ",
                           "},{\"",
                           "}, {\"",
                           ",\"",
                           ", \"",
                           ":{\"",
                           ":[",
                           "\"\"",
                           "\"\",\"",
                           "a\":",
                           "a\": 1, \"b\": ",
                           "true",
                           "true}",
                           "false",
                           "null",
                           "null,",
                           "tru",
                           "e,",
                           "12",
                           "123",
                           "0.5",
                           ".5",
                           "1e5",
                           "-1",
                           "-",
                           "00",
                           "000",
                           "1, 2",
                           "1,",
                           "]",
                           "  ",
                           "    ",
                           "\n",
                           "\n  ",
                           "\n    ",
                           " \"",
                           "\\n",
                           "\\\"",
                           "\\u00",
                           "\\ud83d\\ude00",
                           "hello",
                           " world",
                           "name",
                           "\"name\"",
                           "\"age\": ",
                           "é",
                           "日本",
                           "日本語",
                           "\xE6\x97",
                           "\xA5",
                           "\x9F\x98",
                           "\xF0\x9F",
                           "ab",
                           "abc",
                           "abab",
                           "aaaa",
                           "bbbb",
                           "foo",
                           "foobar",
                           "2024-",
                           "-02",
                           "T12:",
                           "@",
                           ".com",
                           "://",
                           "((",
                           "))",
                           "()",
                           "+1",
                           "*(",
                           " + ",
                           "x",
                           "xyz",
                           "SELECT ",
                           " FROM ",
                           "FR",
                           "OM t",
                           "<",
                           "</",
                           ">"}) {
    tokens.emplace_back(text);
  }
  tokens.emplace_back("");         // special: never allowed
  tokens.emplace_back("name");     // the same bytes twice
  tokens.emplace_back("<|end|>");  // the end
  return tokens;
}

inline std::shared_ptr<const TokenVocabulary> TestVocabulary() {
  static const auto& vocabulary = *new std::shared_ptr<const TokenVocabulary>([] {
    std::vector<std::string> tokens = TestTokens();
    const int32_t end = static_cast<int32_t>(tokens.size()) - 1;
    return *TokenVocabulary::FromBytes(std::move(tokens), {end});
  }());
  return vocabulary;
}

inline absl::StatusOr<std::shared_ptr<const CompiledGrammar>> CompileKind(
    GrammarSpec::Kind kind, std::string text, JsonWhitespace space = JsonWhitespace::kSingleSpace,
    const GrammarLimits& limits = {}) {
  return CompiledGrammar::Compile({.kind = kind, .text = std::move(text), .whitespace = space},
                                  TestVocabulary(), limits);
}
inline auto CompileSchema(std::string text, JsonWhitespace space = JsonWhitespace::kSingleSpace) {
  return CompileKind(GrammarSpec::Kind::kJsonSchema, std::move(text), space);
}
inline auto CompileRegex(std::string text) {
  return CompileKind(GrammarSpec::Kind::kRegex, std::move(text));
}
inline auto CompileEbnf(std::string text) {
  return CompileKind(GrammarSpec::Kind::kEbnf, std::move(text));
}

inline bool IsAllowed(const std::vector<uint64_t>& mask, int32_t token) {
  return (mask[token / 64] >> (token % 64) & 1) != 0;
}
inline std::vector<uint64_t> MaskOf(GrammarMatcher& matcher) {
  std::vector<uint64_t> mask(matcher.grammar().vocabulary().num_mask_words());
  matcher.FillMask(absl::MakeSpan(mask));
  return mask;
}

// Reads `text` byte by byte, or as random tokens when `random` is given.
inline bool Reads(GrammarMatcher& matcher, absl::string_view text,
                  std::mt19937_64* random = nullptr) {
  const TokenVocabulary& vocabulary = matcher.grammar().vocabulary();
  while (!text.empty()) {
    int32_t token = static_cast<uint8_t>(text[0]);
    for (int tries = 0; random != nullptr && tries < 400; ++tries) {
      const int32_t other = static_cast<int32_t>((*random)() % vocabulary.num_tokens());
      const absl::string_view bytes = vocabulary.Bytes(other);
      if (bytes.empty() || text.substr(0, bytes.size()) != bytes) continue;
      token = other;
      break;
    }
    if (!matcher.Accept(token)) return false;
    text.remove_prefix(vocabulary.Bytes(token).size());
  }
  return true;
}

inline bool Matches(const std::shared_ptr<const CompiledGrammar>& grammar, absl::string_view text,
                    std::mt19937_64* random = nullptr) {
  GrammarMatcher matcher(grammar);
  return Reads(matcher, text, random) && matcher.CanEnd();
}

// A text of random allowed tokens. Ends as soon as it may after `num_tokens`, and gives up ("") at
// eight times as many. Checks that the mask says what Accept does at every step.
inline std::string RandomText(const std::shared_ptr<const CompiledGrammar>& grammar,
                              std::mt19937_64& random, int num_tokens) {
  const TokenVocabulary& vocabulary = grammar->vocabulary();
  const int32_t end = vocabulary.end_ids()[0];
  GrammarMatcher matcher(grammar);
  std::string text;
  for (int step = 0; step < 8 * num_tokens; ++step) {
    const std::vector<uint64_t> mask = MaskOf(matcher);
    EXPECT_EQ(IsAllowed(mask, end), matcher.CanEnd());
    std::vector<int32_t> allowed, closing;
    for (int32_t t = 0; t < vocabulary.num_tokens(); ++t) {
      if (!IsAllowed(mask, t)) continue;
      allowed.push_back(t);
      const absl::string_view bytes = vocabulary.Bytes(t);
      if (!bytes.empty() && absl::string_view("\"]}").find(bytes[0]) != absl::string_view::npos)
        closing.push_back(t);
    }
    EXPECT_FALSE(allowed.empty()) << "a dead end after: " << text;
    if (allowed.empty()) return "";
    if (matcher.CanEnd() && (step >= num_tokens || allowed.size() == 1 || random() % 8 == 0)) {
      EXPECT_TRUE(matcher.Accept(end));
      EXPECT_TRUE(matcher.finished());
      return text;
    }
    const bool close = !closing.empty() && (step >= num_tokens || random() % 4 == 0);
    const std::vector<int32_t>& from = close ? closing : allowed;
    int32_t token = from[random() % from.size()];
    if (token == end) token = allowed[0];
    EXPECT_TRUE(matcher.Accept(token)) << text << " + " << vocabulary.Bytes(token);
    text.append(vocabulary.Bytes(token).data(), vocabulary.Bytes(token).size());
  }
  return "";
}

// Every token is allowed by the mask exactly when Accept takes it.
inline void ExpectMaskIsExact(GrammarMatcher& matcher) {
  const std::vector<uint64_t> mask = MaskOf(matcher);
  const TokenVocabulary& vocabulary = matcher.grammar().vocabulary();
  for (int32_t t = 0; t < vocabulary.num_tokens(); ++t) {
    GrammarMatcher copy = matcher;
    EXPECT_EQ(IsAllowed(mask, t), copy.Accept(t)) << "token " << t << " " << vocabulary.Bytes(t);
  }
}

}  // namespace oneai::serving
