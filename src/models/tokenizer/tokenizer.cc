#include "models/tokenizer/tokenizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::models {

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(TokenizerSpec spec) {
  auto tokenizer = std::unique_ptr<Tokenizer>(new Tokenizer());
  tokenizer->spec_ = std::move(spec);
  ASSIGN_OR_RETURN(tokenizer->model_, BpeModel::Create(tokenizer->spec_));
  RETURN_IF_ERROR(tokenizer->AddTokens());
  return tokenizer;
}

absl::Status Tokenizer::AddTokens() {
  TokenId id_max = 0;
  for (const auto& [token, id] : spec_.vocab) id_max = std::max(id_max, id);
  for (const AddedToken& token : spec_.added_tokens) {
    if (token.id < 0 || token.id > kTokenIdMax)
      return absl::InvalidArgumentError(absl::StrCat("added token '", token.content, "' has id ",
                                                     token.id, ", not in 0 .. ", kTokenIdMax));
    id_max = std::max(id_max, token.id);
  }
  // Ids index a table; a few huge ones in a small file must not make it huge.
  const int64_t num_tokens = spec_.vocab.size() + spec_.added_tokens.size();
  if (id_max > 16 * num_tokens + 1'000'000)
    return absl::InvalidArgumentError(absl::StrCat(
        "largest token id ", id_max, " is far above the ", num_tokens, " tokens there are"));
  token_bytes_.resize(id_max + 1);
  for (const auto& [token, id] : spec_.vocab) {
    std::optional<std::string> bytes = UnspellBytes(token);
    token_bytes_[id] = bytes ? *std::move(bytes) : token;
  }
  for (const AddedToken& token : spec_.added_tokens) {
    if (const TokenId* id = model_->Find(token.content); id != nullptr && *id != token.id)
      return absl::InvalidArgumentError(absl::StrCat("added token '", token.content, "' has id ",
                                                     token.id, " but ", *id, " in the vocabulary"));
    const auto [it, inserted] = added_by_content_.emplace(token.content, token.id);
    if (!inserted && it->second != token.id)
      return absl::InvalidArgumentError(absl::StrCat("added token '", token.content, "' has ids ",
                                                     it->second, " and ", token.id));
    // The decoder maps added tokens, too, through the byte alphabet where their spelling allows it.
    std::optional<std::string> bytes = UnspellBytes(token.content);
    token_bytes_[token.id] = bytes ? *std::move(bytes) : token.content;
    if (token.special) special_.insert(token.id);
    if (token.normalized) {
      AddedToken normalized = token;
      if (spec_.nfc) normalized.content = ToNfc(token.content);
      normalized_tokens_.Add(normalized);
    } else {
      raw_tokens_.Add(token);
    }
  }
  for (const std::vector<TokenId>* list : {&spec_.prefix, &spec_.suffix})
    for (TokenId id : *list)
      if (id < 0 || id > id_max)
        return absl::InvalidArgumentError(absl::StrCat("post-processor: no token has id ", id));
  return absl::OkStatus();
}

std::vector<TokenId> Tokenizer::Encode(absl::string_view text, SpecialTokens special) const {
  const bool parse_special = special == SpecialTokens::kParse;
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 8);
  raw_tokens_.Split(
      text, parse_special,
      [&](absl::string_view part) {
        if (spec_.nfc) {
          EncodePlain(ToNfc(part), parse_special, out);
        } else {
          EncodePlain(part, parse_special, out);
        }
      },
      [&](TokenId id) { out.push_back(id); });
  return out;
}

void Tokenizer::EncodePlain(absl::string_view text, bool parse_special,
                            std::vector<TokenId>& out) const {
  auto encode = [&](absl::string_view part) {
    ForEachPiece(part, spec_.pattern,
                 [&](absl::string_view piece) { model_->EncodePiece(piece, out); });
  };
  if (normalized_tokens_.empty()) return encode(text);
  normalized_tokens_.Split(text, parse_special, encode, [&](TokenId id) { out.push_back(id); });
}

std::string Tokenizer::Decode(absl::Span<const TokenId> tokens, SpecialText special) const {
  std::string bytes;
  for (TokenId id : tokens)
    if (special == SpecialText::kKeep || !IsSpecial(id)) absl::StrAppend(&bytes, TokenBytes(id));
  return ReplaceIllFormed(bytes);
}

absl::string_view Tokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || id >= static_cast<TokenId>(token_bytes_.size())) return "";
  return token_bytes_[id];
}

std::optional<TokenId> Tokenizer::FindToken(absl::string_view spelled) const {
  if (auto it = added_by_content_.find(spelled); it != added_by_content_.end()) return it->second;
  const TokenId* id = model_->Find(spelled);
  return id == nullptr ? std::nullopt : std::optional<TokenId>(*id);
}

std::string StreamDecoder::Push(TokenId token) {
  if (special_ == SpecialText::kSkip && tokenizer_.IsSpecial(token)) return "";
  absl::StrAppend(&pending_, tokenizer_.TokenBytes(token));
  const size_t ready = pending_.size() - IncompleteTailBytes(pending_);
  std::string text = ReplaceIllFormed(absl::string_view(pending_).substr(0, ready));
  pending_.erase(0, ready);
  return text;
}

std::string StreamDecoder::Finish() {
  std::string text = ReplaceIllFormed(pending_);
  pending_.clear();
  return text;
}

}  // namespace oneai::models
