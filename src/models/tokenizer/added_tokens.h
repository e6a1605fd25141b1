// File: models/tokenizer/added_tokens.h
//
// Finds added tokens in text: leftmost, longest, each with its flags.
// Source: huggingface/tokenizers, tokenizer/added_vocabulary.rs, find_matches().
#pragma once

#include <array>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

// Immutable after the last Add; thread-safe then.
class AddedTokenMatcher {
 public:
  // Empty contents are ignored; of two tokens with the same content the later counts.
  void Add(const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // Calls `text_part` for the stretches between matches (never empty) and `token` for matches, in
  // order. With `match_special` false, special tokens are left in the text.
  void Split(absl::string_view text, bool match_special,
             absl::FunctionRef<void(absl::string_view)> text_part,
             absl::FunctionRef<void(TokenId)> token) const;

 private:
  // Index and end of the longest token at `pos`, or -1.
  int LongestAt(absl::string_view text, size_t pos, size_t& end) const;

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> first_bytes_ = {};
  // A trie: (node << 8 | byte) -> node; the root is 0.
  absl::flat_hash_map<uint64_t, uint32_t> edges_;
  std::vector<int> token_at_ = {-1};  // by node
};

}  // namespace oneai::models
