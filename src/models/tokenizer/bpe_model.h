// File: models/tokenizer/bpe_model.h
//
// Byte-pair encoding of one piece: start from bytes and apply, again and again, the best-ranked
// merge, leftmost first. Source: arXiv:1508.07909; tie-breaking as in huggingface/tokenizers,
// models/bpe/word.rs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

// Immutable and thread-safe, but for the cache of words inside, which is synchronized.
class BpeModel {
 public:
  // InvalidArgument for a vocabulary that lacks a byte, repeats a token or an id, or has an id out
  // of range, and for a merge of tokens, or into a token, that does not exist.
  static absl::StatusOr<std::unique_ptr<BpeModel>> Create(const TokenizerSpec& spec);
  ~BpeModel();

  // Appends the tokens of `piece`. O(n log n) in its length, so no input is slow.
  void EncodePiece(absl::string_view piece, std::vector<TokenId>& out) const;

  // nullptr when there is no such token.
  const TokenId* Find(absl::string_view spelled) const;

 private:
  class WordCache;
  struct Merge {
    int32_t rank;
    TokenId result;
  };
  BpeModel();
  absl::Status AddMerges(const TokenizerSpec& spec);
  const Merge* FindMerge(TokenId left, TokenId right) const;
  void MergeShort(std::vector<TokenId>& symbols) const;
  void MergeLong(std::vector<TokenId>& symbols) const;

  absl::flat_hash_map<std::string, TokenId> vocab_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // left << 32 | right
  std::array<TokenId, 256> byte_tokens_;
  bool ignore_merges_ = false;
  std::unique_ptr<WordCache> cache_;
};

}  // namespace oneai::models
