// Compiles a grammar over a tiny vocabulary and walks through it, checking what a matcher promises.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serving/grammar/grammar.h"
#include "serving/grammar/grammar_matcher.h"
#include "tests/fuzz/fuzz_target.h"

namespace oneai::serving {

inline std::shared_ptr<const TokenVocabulary> FuzzVocabulary() {
  static const auto& vocabulary = *new std::shared_ptr<const TokenVocabulary>([] {
    std::vector<std::string> tokens;
    for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
    for (const char* text : {"\":", "\": \"", "\",", "}}", "[[", "]]", "{\"", "ab", "aaa",
                             "\xE6\x97", "12", ", ", "true", "x\"}", "\n "})
      tokens.emplace_back(text);
    tokens.emplace_back("");
    const int32_t end = static_cast<int32_t>(tokens.size()) - 1;
    return *TokenVocabulary::FromBytes(std::move(tokens), {end});
  }());
  return vocabulary;
}

// Small bounds, so that an input costs at most milliseconds.
inline GrammarLimits FuzzLimits() {
  GrammarLimits limits;
  limits.nfa_states_max = 1000;
  limits.dfa_states_max = 200;
  limits.steps_max = 20'000;
  limits.expressions_max = 5000;
  limits.call_depth_max = 12;
  limits.warm_steps_max = 0;
  return limits;
}

// Walks some tokens into `spec`'s grammar, if it is one. Returns the text if it ended, else "".
inline std::string WalkGrammar(const GrammarSpec& spec, uint64_t seed) {
  const auto grammar = CompiledGrammar::Compile(spec, FuzzVocabulary(), FuzzLimits());
  if (!grammar.ok()) return "";
  const TokenVocabulary& vocabulary = *FuzzVocabulary();
  GrammarMatcher matcher(*grammar);
  std::vector<uint64_t> mask(vocabulary.num_mask_words());
  std::string text;
  for (int step = 0; step < 10; ++step) {
    matcher.FillMask(absl::MakeSpan(mask));
    std::vector<int32_t> allowed;
    for (int32_t t = 0; t < vocabulary.num_tokens(); ++t) {
      if ((mask[t / 64] >> (t % 64) & 1) != 0) allowed.push_back(t);
    }
    ONEAI_FUZZ_CHECK(!allowed.empty());
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const int32_t token = allowed[(seed >> 33) % allowed.size()];
    const std::string forced = matcher.ForcedBytes();
    const bool can_end = matcher.CanEnd();
    ONEAI_FUZZ_CHECK(matcher.Accept(token));
    if (vocabulary.IsEnd(token)) {
      ONEAI_FUZZ_CHECK(can_end && matcher.finished());
      return text;
    }
    const absl::string_view bytes = vocabulary.Bytes(token);
    const size_t n = std::min(bytes.size(), forced.size());
    ONEAI_FUZZ_CHECK(bytes.substr(0, n) == absl::string_view(forced).substr(0, n));
    text.append(bytes.data(), bytes.size());
    if ((seed >> 20) % 5 == 0) {
      matcher.Rollback(1);
      ONEAI_FUZZ_CHECK(matcher.Accept(token));
    }
  }
  return "";
}

inline uint64_t SeedOf(const uint8_t* data, size_t size) {
  uint64_t seed = 1469598103934665603u;
  for (size_t i = 0; i < size; ++i) seed = (seed ^ data[i]) * 1099511628211u;
  return seed;
}

}  // namespace oneai::serving
