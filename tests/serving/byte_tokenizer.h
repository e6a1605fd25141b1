// A tokenizer of one token a byte (ids 0 to 255) and three control tokens, for tests.
#pragma once

#include <string>
#include <utility>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/testing/status_matchers.h"

namespace oneai::serving {

inline constexpr int32_t kEndToken = 256;        // <|endoftext|>
inline constexpr int32_t kTurnStartToken = 257;  // <|im_start|>
inline constexpr int32_t kTurnEndToken = 258;    // <|im_end|>
inline constexpr int64_t kNumByteTokens = 259;

inline models::TokenizerSpec ByteTokenizerSpec() {
  models::TokenizerSpec spec;
  for (int i = 0; i < 256; ++i) {
    spec.vocab.emplace_back(models::SpellBytes(std::string(1, static_cast<char>(i))), i);
  }
  spec.added_tokens.push_back({.id = kEndToken, .content = "<|endoftext|>", .special = true});
  spec.added_tokens.push_back({.id = kTurnStartToken, .content = "<|im_start|>", .special = true});
  spec.added_tokens.push_back({.id = kTurnEndToken, .content = "<|im_end|>", .special = true});
  return spec;
}

inline std::unique_ptr<models::Tokenizer> NewByteTokenizer() {
  absl::StatusOr<std::unique_ptr<models::Tokenizer>> tokenizer =
      models::Tokenizer::Create(ByteTokenizerSpec());
  EXPECT_OK(tokenizer);
  return *std::move(tokenizer);
}

}  // namespace oneai::serving
