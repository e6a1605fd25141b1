// File: models/tokenizer/tokenizer_spec.h
//
// A byte-level BPE tokenizer as plain data: what the files say, before any index is built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/tokenizer/pretokenizer.h"

namespace oneai::models {

using TokenId = int32_t;
inline constexpr TokenId kTokenIdMax = (1 << 26) - 1;

// A token matched in the raw text before BPE. Flags as in Hugging Face tokenizers
// (added_vocabulary.rs).
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special =
      false;  // a control token: not matched in untrusted text, skipped by Decode on request
  bool single_word = false;  // not matched inside a word
  bool lstrip = false;       // takes the white space on its left
  bool rstrip = false;       // and on its right
  bool normalized = false;   // matched after normalization instead of before
};

struct TokenizerSpec {
  // Token spelled in the byte alphabet (byte_alphabet.h) -> id. Ids are unique; holes are allowed.
  std::vector<std::pair<std::string, TokenId>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  std::vector<AddedToken> added_tokens;
  SplitPattern pattern = SplitPattern::kQwen2;
  bool nfc = true;             // normalize to NFC first
  bool ignore_merges = false;  // a piece that is a token as a whole is not merged (Llama 3)
  // Tokens that the post-processor puts around a sequence when special tokens are asked for.
  std::vector<TokenId> prefix, suffix;
};

// The settings around a tokenizer: tokenizer_config.json and chat_template.jinja. Token fields hold
// content.
struct TokenizerConfig {
  std::string tokenizer_class = "Qwen2Tokenizer";
  std::optional<std::string> bos_token, eos_token, pad_token, unk_token;
  std::optional<std::string> chat_template;
  std::optional<int64_t> model_max_length;
  std::vector<AddedToken> added_tokens;  // added_tokens_decoder
};

}  // namespace oneai::models
