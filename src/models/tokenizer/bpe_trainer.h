// File: models/tokenizer/bpe_trainer.h
//
// Learns a byte-level BPE vocabulary: starting from bytes, again and again joins the most frequent
// adjacent pair within pieces. The result is a function of the corpus and the options alone.
// Source: arXiv:1508.07909, algorithm 1; order of ids and tie-breaks (larger count, then smaller
// pair of ids) as in huggingface/tokenizers, models/bpe/trainer.rs with the byte alphabet as the
// initial one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

struct BpeTrainerOptions {
  int64_t vocab_size = 32768;  // tokens in all: special ones, the 256 bytes, and merges
  int64_t min_count = 2;       // a pair seen less often is not joined
  SplitPattern pattern = SplitPattern::kQwen2;
  bool nfc = true;
  // Get the first ids. Those with a "<|" are control tokens by convention; all given here are
  // marked special.
  std::vector<std::string> special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
};

// Trains on `documents`; pieces never cross a document's end. The vocabulary is smaller than asked
// for when the corpus has no more pairs. InvalidArgument: vocab_size below 256 + special tokens,
// above 2^24, or special tokens that are empty, repeated or single bytes. 1 MB of text to 4096
// tokens takes some 0.3 s.
absl::StatusOr<TokenizerSpec> TrainBpe(absl::Span<const absl::string_view> documents,
                                       const BpeTrainerOptions& options);

// A TokenizerConfig for a tokenizer trained here: added tokens from `spec`, <|endoftext|> as
// padding and
// <|im_end|> as the end where they exist, and the chat template given.
TokenizerConfig MakeTokenizerConfig(const TokenizerSpec& spec, std::string chat_template,
                                    int64_t model_max_length);

}  // namespace oneai::models
