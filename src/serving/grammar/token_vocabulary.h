// File: serving/grammar/token_vocabulary.h
//
// What a grammar must know of a model's tokens: the bytes of each, which of them end a text, and
// all of them as one byte trie, so that a mask is computed by a walk that shares common beginnings
// and leaves out whole subtrees at the first byte that does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/tokenizer/tokenizer.h"

namespace oneai::serving {

// Longest token that takes part in masks; a longer one is never allowed under a grammar.
inline constexpr int64_t kTokenBytesMax = 256;

// Immutable and thread-safe. Built once per model: some 50 ms for 151,936 tokens.
class TokenVocabulary {
 public:
  // A node of the trie, in depth-first order: the first child of node i, if any, is i + 1, and
  // `skip` is the node that follows the whole subtree of i.
  struct Node {
    int32_t skip;
    int32_t token;   // a token that ends here, -1: none. Others of the same bytes: NextSame
    uint16_t depth;  // bytes up to and including `byte`
    uint8_t byte;
  };

  // `num_tokens` is the width of the model's logits; ids without bytes (a padded head) are never
  // allowed. Special tokens are no text, so a grammar never allows them, but for `end_ids`.
  // InvalidArgument: no tokens, an end id out of range.
  static absl::StatusOr<std::shared_ptr<const TokenVocabulary>> Create(
      const models::Tokenizer& tokenizer, std::vector<int32_t> end_ids, int64_t num_tokens);
  // The same from plain data: bytes by id, empty for ids that are not text.
  static absl::StatusOr<std::shared_ptr<const TokenVocabulary>> FromBytes(
      std::vector<std::string> token_bytes, std::vector<int32_t> end_ids);

  int64_t num_tokens() const { return static_cast<int64_t>(bytes_.size()); }
  // 64-bit words of a mask: one bit per id, bit id % 64 of word id / 64.
  int64_t num_mask_words() const { return (num_tokens() + 63) / 64; }
  // Bytes of the token; empty for special tokens, for end ids and for ids without a token.
  absl::string_view Bytes(int32_t token) const { return bytes_[token]; }
  bool IsEnd(int32_t token) const;
  absl::Span<const int32_t> end_ids() const { return end_ids_; }
  // Bytes of the longest token that takes part.
  int64_t token_bytes_max() const { return token_bytes_max_; }

  absl::Span<const Node> trie() const { return trie_; }
  // The next token with the same bytes, or -1.
  int32_t NextSame(int32_t token) const { return next_same_[token]; }

 private:
  TokenVocabulary() = default;
  void BuildTrie();

  std::vector<std::string> bytes_;
  std::vector<int32_t> end_ids_;  // sorted
  std::vector<Node> trie_;
  std::vector<int32_t> next_same_;
  int64_t token_bytes_max_ = 0;
};

}  // namespace oneai::serving
