#include "models/gguf/gguf_tokenizer.h"

#include <array>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai::models {
namespace {

enum TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct PreTokenizer {
  absl::string_view name;
  SplitPattern pattern;
  bool nfc;
  bool ignore_merges = false;
};

// The first of a pattern is the one that is written. Qwen's tokenizers normalise to NFC, which
// llama.cpp leaves out.
constexpr std::array<PreTokenizer, 7> kPreTokenizers = {
    {{"qwen2", SplitPattern::kQwen2, true},
     {"qwen35", SplitPattern::kQwen35, true},
     {"gpt-2", SplitPattern::kGpt2, false},
     {"llama-bpe", SplitPattern::kLlama3, false, true},
     {"deepseek-r1-qwen", SplitPattern::kQwen2, true},
     {"megrez", SplitPattern::kQwen2, true},
     {"hunyuan", SplitPattern::kQwen2, true}}};
constexpr size_t kNumListed = 5;  // those that errors name

absl::StatusOr<const PreTokenizer*> FindPreTokenizer(const GgufHeader& header) {
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> model,
                   header.Text("tokenizer.ggml.model"));
  if (!model)
    return absl::InvalidArgumentError(
        "metadata key 'tokenizer.ggml.model' is missing: the file has no tokenizer");
  if (*model != "gpt2")
    return absl::UnimplementedError(absl::StrCat("tokenizer.ggml.model '", model->substr(0, 60),
                                                 "' is not supported; byte-level BPE (gpt2) is"));
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> pre, header.Text("tokenizer.ggml.pre"));
  const absl::string_view wanted = pre.value_or("gpt-2");
  for (const PreTokenizer& known : kPreTokenizers)
    if (known.name == wanted) return &known;
  std::string names;
  for (size_t i = 0; i < kNumListed; ++i)
    absl::StrAppend(&names, i == 0 ? "" : ", ", kPreTokenizers[i].name);
  return absl::UnimplementedError(absl::StrCat("tokenizer.ggml.pre '", wanted.substr(0, 60),
                                               "' is not supported; ", names, " are"));
}

absl::Status ReadTokens(const GgufHeader& header, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const GgufStrings* tokens, header.Strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr)
    return absl::InvalidArgumentError("metadata key 'tokenizer.ggml.tokens' is missing");
  ASSIGN_OR_RETURN(const GgufIntegers* types, header.Integers("tokenizer.ggml.token_type"));
  if (types != nullptr && types->size() != tokens->size())
    return absl::InvalidArgumentError(absl::StrCat("'tokenizer.ggml.token_type' has ",
                                                   types->size(), " entries for ", tokens->size(),
                                                   " tokens"));
  if (tokens->size() > static_cast<size_t>(kTokenIdMax))
    return absl::InvalidArgumentError("'tokenizer.ggml.tokens' has too many entries");
  for (size_t i = 0; i < tokens->size(); ++i) {
    const int64_t type = types == nullptr ? int64_t{kNormal} : (*types)[i];
    std::string text((*tokens)[i]);
    const TokenId id = static_cast<TokenId>(i);
    if (type == kUnused) continue;
    if (type == kControl || type == kUserDefined || type == kUnknown) {
      const bool special = type != kUserDefined;
      spec.added_tokens.push_back(
          {.id = id, .content = std::move(text), .special = special, .normalized = false});
    } else if (type == kNormal) {
      spec.vocab.emplace_back(std::move(text), id);
    } else {
      return absl::UnimplementedError(absl::StrCat("'tokenizer.ggml.token_type[", i, "]' is ", type,
                                                   ", which byte-level BPE has no use for"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufHeader& header, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(const GgufStrings* merges, header.Strings("tokenizer.ggml.merges"));
  if (merges == nullptr)
    return absl::InvalidArgumentError("metadata key 'tokenizer.ggml.merges' is missing");
  spec.merges.reserve(merges->size());
  for (const absl::string_view merge : *merges) {
    const size_t space = merge.find(' ');
    if (space == absl::string_view::npos || space == 0 || space + 1 == merge.size())
      return absl::InvalidArgumentError(
          absl::StrCat("'tokenizer.ggml.merges[", spec.merges.size(), "]' must be \"left right\""));
    spec.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return absl::OkStatus();
}

std::optional<std::string> ContentOf(const TokenizerSpec& spec, TokenId id) {
  for (const AddedToken& token : spec.added_tokens)
    if (token.id == id) return token.content;
  for (const auto& [text, token] : spec.vocab)
    if (token == id) return text;
  return std::nullopt;
}

absl::Status ReadSpecials(const GgufHeader& header, GgufTokenizer& out) {
  auto token = [&](absl::string_view key, std::optional<std::string>& text,
                   std::optional<TokenId>& id) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<int64_t> found, header.Integer(key, 0, kTokenIdMax));
    if (!found) return absl::OkStatus();
    id = static_cast<TokenId>(*found);
    text = ContentOf(out.spec, *id);
    return absl::OkStatus();
  };
  std::optional<TokenId> bos, eos, pad, unknown;
  RETURN_IF_ERROR(token("tokenizer.ggml.bos_token_id", out.config.bos_token, bos));
  RETURN_IF_ERROR(token("tokenizer.ggml.eos_token_id", out.config.eos_token, eos));
  RETURN_IF_ERROR(token("tokenizer.ggml.padding_token_id", out.config.pad_token, pad));
  RETURN_IF_ERROR(token("tokenizer.ggml.unknown_token_id", out.config.unk_token, unknown));
  ASSIGN_OR_RETURN(const std::optional<bool> add_bos, header.Flag("tokenizer.ggml.add_bos_token"));
  ASSIGN_OR_RETURN(const std::optional<bool> add_eos, header.Flag("tokenizer.ggml.add_eos_token"));
  if (add_bos.value_or(false) && bos) out.spec.prefix = {*bos};
  if (add_eos.value_or(false) && eos) out.spec.suffix = {*eos};
  ASSIGN_OR_RETURN(const std::optional<absl::string_view> chat_template,
                   header.Text("tokenizer.chat_template"));
  if (chat_template) out.config.chat_template = std::string(*chat_template);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufTokenizer> TokenizerFromGguf(const GgufHeader& header, absl::string_view file) {
  GgufTokenizer out;
  absl::StatusOr<const PreTokenizer*> pre = FindPreTokenizer(header);
  if (!pre.ok()) return Annotate(pre.status(), file);
  out.spec.pattern = (*pre)->pattern;
  out.spec.nfc = (*pre)->nfc;
  out.spec.ignore_merges = (*pre)->ignore_merges;
  RETURN_IF_ERROR(Annotate(ReadTokens(header, out.spec), file));
  RETURN_IF_ERROR(Annotate(ReadMerges(header, out.spec), file));
  RETURN_IF_ERROR(Annotate(ReadSpecials(header, out), file));
  out.config.tokenizer_class = out.spec.pattern == SplitPattern::kGpt2 ? "GPT2Tokenizer"
                               : out.spec.pattern == SplitPattern::kLlama3
                                   ? "PreTrainedTokenizerFast"
                                   : "Qwen2Tokenizer";
  out.config.added_tokens = out.spec.added_tokens;
  return out;
}

absl::Status PutGgufTokenizer(const TokenizerSpec& spec, const TokenizerConfig& config,
                              const Json& model_config, GgufMetadata& metadata) {
  ASSIGN_OR_RETURN(const JsonObject root, JsonObject::From(model_config, "config.json"));
  ASSIGN_OR_RETURN(const int64_t rows, root.Int("vocab_size", {1, kTokenIdMax}));
  std::vector<std::string> tokens(rows);
  std::vector<int32_t> types(rows, kUnused);
  auto place = [&](TokenId id, const std::string& text, TokenType type) {
    if (id < 0 || id >= rows)
      return absl::InvalidArgumentError(absl::StrCat("token ", id, " lies beyond the ", rows,
                                                     " rows of the embedding (vocab_size)"));
    tokens[id] = text;
    types[id] = type;
    return absl::OkStatus();
  };
  for (const auto& [text, id] : spec.vocab) RETURN_IF_ERROR(place(id, text, kNormal));
  for (const AddedToken& token : spec.added_tokens)
    RETURN_IF_ERROR(place(token.id, token.content, token.special ? kControl : kUserDefined));
  for (int64_t id = 0; id < rows; ++id)
    if (types[id] == kUnused) tokens[id] = absl::StrCat("[PAD", id, "]");
  absl::flat_hash_set<absl::string_view> seen;
  for (const std::string& token : tokens)
    if (!seen.insert(token).second)
      return absl::UnimplementedError(
          absl::StrCat("token '", token, "' has two ids, which GGUF's readers do not accept"));
  std::vector<std::string> merges;
  merges.reserve(spec.merges.size());
  for (const auto& [left, right] : spec.merges) merges.push_back(absl::StrCat(left, " ", right));
  absl::string_view pre;
  for (const PreTokenizer& known : kPreTokenizers)
    if (pre.empty() && known.pattern == spec.pattern) pre = known.name;
  metadata.PutText("tokenizer.ggml.model", "gpt2");
  metadata.PutText("tokenizer.ggml.pre", pre);
  metadata.PutTexts("tokenizer.ggml.tokens", tokens);
  metadata.PutI32s("tokenizer.ggml.token_type", types);
  metadata.PutTexts("tokenizer.ggml.merges", merges);
  // The token that ends a turn, as the tokenizer names it, before the ids of config.json.
  auto put = [&](absl::string_view key, const std::optional<std::string>& text,
                 const char* config_key) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<int64_t> ids, root.IntOrIntList(config_key, {0, rows - 1}));
    if (text) {
      for (int64_t id = 0; id < rows; ++id)
        if (types[id] != kUnused && tokens[id] == *text) ids = {id};
    }
    if (!ids.empty()) metadata.PutU32(key, static_cast<uint32_t>(ids[0]));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(put("tokenizer.ggml.bos_token_id", config.bos_token, "bos_token_id"));
  RETURN_IF_ERROR(put("tokenizer.ggml.eos_token_id", config.eos_token, "eos_token_id"));
  RETURN_IF_ERROR(put("tokenizer.ggml.padding_token_id", config.pad_token, "pad_token_id"));
  metadata.PutBool("tokenizer.ggml.add_bos_token", !spec.prefix.empty());
  metadata.PutBool("tokenizer.ggml.add_eos_token", !spec.suffix.empty());
  if (config.chat_template) metadata.PutText("tokenizer.chat_template", *config.chat_template);
  return absl::OkStatus();
}

}  // namespace oneai::models
