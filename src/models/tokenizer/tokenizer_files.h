// File: models/tokenizer/tokenizer_files.h
//
// The files of a tokenizer: `tokenizer.json` (huggingface/tokenizers), the older `vocab.json` +
// `merges.txt`, Qwen-1's `qwen.tiktoken`, and `tokenizer_config.json` (huggingface/transformers). Parsers accept what
// byte-level BPE uses and refuse everything else by name, so that no setting is silently ignored.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "models/tokenizer/tokenizer_spec.h"

namespace oneai::models {

inline constexpr int64_t kTokenizerFileBytesMax = 128 << 20;

// `what` names the document in errors. InvalidArgument: malformed. Unimplemented: not byte-level
// BPE as above.
absl::StatusOr<TokenizerSpec> ParseTokenizerJson(absl::string_view json, absl::string_view what);

// Parses `vocab.json` (object of ids) and `merges.txt` (a merge a line, best first; "#version"
// lines are skipped) as the tokenizer class of `config` uses them: Qwen2Tokenizer (the Qwen2
// pattern, NFC) or GPT2Tokenizer.
absl::StatusOr<TokenizerSpec> ParseVocabAndMerges(absl::string_view vocab_json,
                                                  absl::string_view merges_txt,
                                                  const TokenizerConfig& config,
                                                  absl::string_view what);

// Parses `qwen.tiktoken` (Qwen-1): ranks without merges, and control tokens whose ids follow.
// InvalidArgument: a line that is no rank, ranks out of order, a token that repeats, is longer than
// 1 KiB, or is not made of two better ones.
absl::StatusOr<TokenizerSpec> ParseTiktoken(absl::string_view text, absl::string_view what);

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(absl::string_view json,
                                                     absl::string_view what);

// The tokenizer of a model folder; see Tokenizer::Load.
absl::StatusOr<TokenizerSpec> LoadTokenizerSpec(const std::filesystem::path& folder);

// tokenizer_config.json, with chat_template.jinja in place of its `chat_template` where that file
// exists (as transformers does since 4.51). NotFound when the folder has no tokenizer_config.json.
absl::StatusOr<TokenizerConfig> LoadTokenizerConfig(const std::filesystem::path& folder);

// tokenizer.json text; ParseTokenizerJson of it gives `spec` back. Merges are written as "left
// right" strings, which every release of the library reads (pairs are understood only since 0.20).
std::string ToTokenizerJson(const TokenizerSpec& spec);
std::string ToTokenizerConfigJson(const TokenizerConfig& config);

// Writes tokenizer.json and tokenizer_config.json into `folder`, each atomically.
// ResourceExhausted: disk full.
absl::Status SaveTokenizer(const TokenizerSpec& spec, const TokenizerConfig& config,
                           const std::filesystem::path& folder);

}  // namespace oneai::models
