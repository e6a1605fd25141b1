// File: models/tokenizer/tokenizer.h
//
// Text to token ids and back, exactly as Hugging Face tokenizers does for byte-level BPE:
//   split at added tokens -> NFC -> split into pieces -> BPE per piece.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/bpe_model.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

// Whether control tokens written out in the text (such as "<|im_end|>") become that token. Text of
// strangers is kAsText: it must not be able to end a turn. Added tokens that are not special always
// match.
enum class SpecialTokens { kParse, kAsText };

// Whether Decode shows control tokens.
enum class SpecialText { kKeep, kSkip };

// Immutable; thread-safe.
class Tokenizer {
 public:
  // InvalidArgument as BpeModel::Create, and for an added token whose id contradicts the
  // vocabulary.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(TokenizerSpec spec);

  // Loads `tokenizer.json`, or `vocab.json` + `merges.txt`, of a model folder, with the added
  // tokens of `tokenizer_config.json` where there is one. NotFound: neither is there.
  // Unimplemented: a tokenizer of another kind, naming the part. InvalidArgument: corrupt, naming
  // file and key.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& folder);

  // Tokens of `text`. Bytes that are not UTF-8 are encoded as they are.
  std::vector<TokenId> Encode(absl::string_view text, SpecialTokens special) const;

  // Tokens that the model wants around a sequence (e.g. embedding models end with <|endoftext|>);
  // often none.
  const std::vector<TokenId>& prefix() const { return spec_.prefix; }
  const std::vector<TokenId>& suffix() const { return spec_.suffix; }

  // Text of `tokens`; ill-formed UTF-8 becomes U+FFFD, ids without a token give nothing.
  std::string Decode(absl::Span<const TokenId> tokens, SpecialText special) const;

  // Bytes of one token, possibly part of a character; empty for an id without a token.
  absl::string_view TokenBytes(TokenId id) const;
  bool IsSpecial(TokenId id) const { return special_.contains(id); }
  // Id of a token as spelled in the files ("Ġthe", "<|im_end|>").
  std::optional<TokenId> FindToken(absl::string_view spelled) const;
  // One more than the largest id.
  int64_t vocab_size() const { return static_cast<int64_t>(token_bytes_.size()); }
  const TokenizerSpec& spec() const { return spec_; }

 private:
  Tokenizer() = default;
  absl::Status AddTokens();
  void EncodePlain(absl::string_view text, bool parse_special, std::vector<TokenId>& out) const;

  TokenizerSpec spec_;
  std::unique_ptr<BpeModel> model_;
  AddedTokenMatcher raw_tokens_, normalized_tokens_;
  std::vector<std::string> token_bytes_;  // by id
  absl::flat_hash_map<std::string, TokenId> added_by_content_;
  absl::flat_hash_set<TokenId> special_;
};

// Turns a stream of tokens into a stream of text without ever emitting part of a character. The
// pieces, put together, equal Tokenizer::Decode of all tokens. Thread-compatible. Holds at most 3
// bytes back.
class StreamDecoder {
 public:
  // `tokenizer` must outlive this.
  StreamDecoder(const Tokenizer& tokenizer, SpecialText special)
      : tokenizer_(tokenizer), special_(special) {}

  // Returns the text that `token` completes, possibly none.
  std::string Push(TokenId token);
  // Returns what is left: U+FFFD for a character that was cut off, else nothing.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  const SpecialText special_;
  std::string pending_;
};

}  // namespace oneai::models
