// File: models/gguf/gguf_tokenizer.h
//
// The tokenizer and chat template in GGUF metadata as the values that tokenizer files give, and
// back. Source: gguf-py constants.py (tokenizer.ggml.* keys, TokenType), llama.cpp's
// llama-vocab.cpp (pre-tokenizer names).
#pragma once

#include "absl/status/statusor.h"
#include "models/gguf/gguf_file.h"
#include "models/gguf/gguf_writer.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

struct GgufTokenizer {
  TokenizerSpec spec;
  TokenizerConfig config;
};

// Unimplemented: a tokenizer that is not byte-level BPE, or a pre-tokenizer without a pattern here.
// InvalidArgument, naming `file` and key: missing or contradictory lists.
absl::StatusOr<GgufTokenizer> TokenizerFromGguf(const GgufHeader& header, absl::string_view file);

// Puts the tokenizer.* keys. `model_config` (a config.json) says how many rows the embedding has:
// ids without a token are filled up with unused ones, as llama.cpp wants a token a row.
// InvalidArgument: more tokens than rows. Unimplemented: a token that two ids share.
absl::Status PutGgufTokenizer(const TokenizerSpec& spec, const TokenizerConfig& config,
                              const Json& model_config, GgufMetadata& metadata);

}  // namespace oneai::models
