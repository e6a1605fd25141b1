// File: models/tokenizer/tiktoken_file.cc
//
// `qwen.tiktoken`, the tokenizer of Qwen-1: a token and its rank a line, and no merges. tiktoken
// joins the neighbours whose union has the lowest rank, so the merges are implied: a token comes
// from the two tokens that remain when only better ranks are joined within it. Source: QwenLM/Qwen,
// tokenization_qwen.py; openai/tiktoken.
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::models {
namespace {

// Tokens longer than this are refused: finding a token's parts costs the square of its length.
constexpr size_t kTokenBytesMax = 1024;
constexpr int kNumExtraTokens = 205;  // <|extra_0|> ... <|extra_204|>

using Ranks = absl::flat_hash_map<std::string, TokenId>;

// Where `token` of `rank` is cut into the two tokens that it is joined from; nullopt: better ranks
// do not leave exactly two.
std::optional<size_t> FindCut(const std::string& token, TokenId rank, const Ranks& ranks) {
  std::vector<size_t> starts(token.size() + 1);  // of the parts, and the end
  for (size_t i = 0; i <= token.size(); ++i) starts[i] = i;
  while (starts.size() > 3) {
    TokenId best = rank;
    size_t best_at = 0;
    for (size_t i = 0; i + 2 < starts.size(); ++i) {
      const auto it =
          ranks.find(absl::string_view(token).substr(starts[i], starts[i + 2] - starts[i]));
      if (it == ranks.end() || it->second >= best) continue;
      best = it->second;
      best_at = i + 1;
    }
    if (best_at == 0) return std::nullopt;
    starts.erase(starts.begin() + static_cast<int64_t>(best_at));
  }
  const absl::string_view whole = token;
  const bool known =
      ranks.contains(whole.substr(0, starts[1])) && ranks.contains(whole.substr(starts[1]));
  return known ? std::optional<size_t>(starts[1]) : std::nullopt;
}

absl::StatusOr<std::vector<std::string>> ReadRanks(absl::string_view text, absl::string_view what) {
  std::vector<std::string> tokens;  // by rank
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto error = [&](absl::string_view problem) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": line ", line_number, ": ", problem));
    };
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    std::string token;
    int64_t rank = 0;
    if (parts.size() != 2 || !absl::Base64Unescape(parts[0], &token) ||
        !absl::SimpleAtoi(parts[1], &rank)) {
      return error("must be a token in base64, a space, and its rank");
    }
    if (token.empty() || token.size() > kTokenBytesMax) {
      return error(absl::StrCat("has a token of ", token.size(), " bytes; 1 to ", kTokenBytesMax,
                                " are allowed"));
    }
    if (rank != static_cast<int64_t>(tokens.size())) {
      return error(absl::StrCat("has rank ", rank, " where ", tokens.size(), " is next"));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::vector<AddedToken> QwenControlTokens(TokenId first) {
  std::vector<std::string> contents = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < kNumExtraTokens; ++i) contents.push_back(absl::StrCat("<|extra_", i, "|>"));
  std::vector<AddedToken> tokens;
  for (std::string& content : contents) {
    tokens.push_back({.id = first++, .content = std::move(content), .special = true});
  }
  return tokens;
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTiktoken(absl::string_view text, absl::string_view what) {
  ASSIGN_OR_RETURN(const std::vector<std::string> tokens, ReadRanks(text, what));
  Ranks ranks;
  ranks.reserve(tokens.size());
  TokenizerSpec spec;
  for (size_t rank = 0; rank < tokens.size(); ++rank) {
    if (!ranks.emplace(tokens[rank], static_cast<TokenId>(rank)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": the token of rank ", rank, " has an earlier rank, too"));
    }
    spec.vocab.emplace_back(SpellBytes(tokens[rank]), static_cast<TokenId>(rank));
  }
  for (size_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string& token = tokens[rank];
    if (token.size() == 1) continue;
    const std::optional<size_t> cut = FindCut(token, static_cast<TokenId>(rank), ranks);
    if (!cut.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": the token of rank ", rank, " is not made of two better ones"));
    }
    spec.merges.emplace_back(SpellBytes(token.substr(0, *cut)), SpellBytes(token.substr(*cut)));
  }
  spec.pattern = SplitPattern::kQwen2;
  spec.nfc = true;
  spec.added_tokens = QwenControlTokens(static_cast<TokenId>(tokens.size()));
  return spec;
}

}  // namespace oneai::models
