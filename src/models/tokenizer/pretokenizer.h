// File: models/tokenizer/pretokenizer.h
//
// Cuts text into the pieces that BPE never merges across. The tokenizer files give the rule as a
// regular expression; each supported one is written out by hand below, because no linear-time
// engine has the look-ahead that they use and a backtracking one is slow and attackable. Source:
// the `pre_tokenizer` of the released tokenizer.json files of GPT-2, Qwen2/2.5/3, Qwen3.5 and
// Llama 3.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace oneai::models {

enum class SplitPattern {
  kGpt2,    // 's|'t|... | ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kQwen2,   // contractions in any case, one digit a piece, newlines kept with punctuation
  kQwen35,  // as kQwen2, but combining marks belong to words
  kLlama3,  // as kQwen2, but up to three digits a piece
};

// The regular expression of `pattern` as published.
absl::string_view SplitPatternRegex(SplitPattern pattern);

// The inverse, accepting known spellings of the same language; nullopt for any other expression.
std::optional<SplitPattern> ParseSplitPattern(absl::string_view regex);

// Returns the end of the piece that begins at `pos` < text.size(). Pieces tile the text: every byte
// is in one. Linear in the length of the piece plus the run of white space at `pos`.
size_t PieceEnd(absl::string_view text, size_t pos, SplitPattern pattern);

// Calls `visit` with every piece, in order.
void ForEachPiece(absl::string_view text, SplitPattern pattern,
                  absl::FunctionRef<void(absl::string_view)> visit);

}  // namespace oneai::models
