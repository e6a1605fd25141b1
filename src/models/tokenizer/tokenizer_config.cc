// tokenizer_config.json, vocab.json + merges.txt, and finding the files of a folder.
#include <algorithm>
#include <charconv>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::models {
namespace {

constexpr int64_t kChatTemplateBytesMax = 1 << 20;

// A token is a string, or an object with its content.
absl::Status ReadToken(const JsonObject& root, const char* key, std::optional<std::string>& out) {
  const Json* found = root.Find(key);
  if (found == nullptr) return absl::OkStatus();
  if (found->is_object()) {
    ASSIGN_OR_RETURN(JsonObject token, root.Object(key));
    ASSIGN_OR_RETURN(out, token.String("content"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(out, root.String(key));
  return absl::OkStatus();
}

// A string, or a list of {name, template}, of which "default" is meant.
absl::Status ReadChatTemplate(const JsonObject& root, TokenizerConfig& config) {
  const Json* found = root.Find("chat_template");
  if (found == nullptr) return absl::OkStatus();
  if (!found->is_array()) {
    ASSIGN_OR_RETURN(config.chat_template, root.String("chat_template"));
    return absl::OkStatus();
  }
  for (const Json& entry : *found) {
    ASSIGN_OR_RETURN(JsonObject item, JsonObject::From(entry, root.what(), "chat_template[]"));
    ASSIGN_OR_RETURN(std::string name, item.String("name"));
    if (name != "default") continue;
    ASSIGN_OR_RETURN(config.chat_template, item.String("template"));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokensDecoder(const JsonObject& root, TokenizerConfig& config) {
  if (!root.Has("added_tokens_decoder")) return absl::OkStatus();
  ASSIGN_OR_RETURN(JsonObject decoder, root.Object("added_tokens_decoder"));
  for (const auto& [key, unused] : decoder.value().items()) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size() || token.id < 0 ||
        token.id > kTokenIdMax)
      return decoder.Error(key, "the key must be a token id");
    ASSIGN_OR_RETURN(JsonObject item, decoder.Object(key));
    ASSIGN_OR_RETURN(token.content, item.String("content"));
    ASSIGN_OR_RETURN(token.special, item.BoolOr("special", false));
    ASSIGN_OR_RETURN(token.single_word, item.BoolOr("single_word", false));
    ASSIGN_OR_RETURN(token.lstrip, item.BoolOr("lstrip", false));
    ASSIGN_OR_RETURN(token.rstrip, item.BoolOr("rstrip", false));
    ASSIGN_OR_RETURN(token.normalized, item.BoolOr("normalized", !token.special));
    config.added_tokens.push_back(std::move(token));
  }
  std::sort(config.added_tokens.begin(), config.added_tokens.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return absl::OkStatus();
}

// Adds the tokens of tokenizer_config.json that the tokenizer itself does not list, as transformers
// does.
void MergeAddedTokens(const TokenizerConfig& config, TokenizerSpec& spec) {
  absl::flat_hash_set<TokenId> listed;
  for (const AddedToken& token : spec.added_tokens) listed.insert(token.id);
  for (const AddedToken& token : config.added_tokens)
    if (listed.insert(token.id).second) spec.added_tokens.push_back(token);
}

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(absl::string_view json,
                                                     absl::string_view what) {
  ASSIGN_OR_RETURN(Json document, ParseJson(json, what));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, what));
  TokenizerConfig config;
  ASSIGN_OR_RETURN(config.tokenizer_class, root.StringOr("tokenizer_class", ""));
  RETURN_IF_ERROR(ReadToken(root, "bos_token", config.bos_token));
  RETURN_IF_ERROR(ReadToken(root, "eos_token", config.eos_token));
  RETURN_IF_ERROR(ReadToken(root, "pad_token", config.pad_token));
  RETURN_IF_ERROR(ReadToken(root, "unk_token", config.unk_token));
  RETURN_IF_ERROR(ReadChatTemplate(root, config));
  RETURN_IF_ERROR(ReadAddedTokensDecoder(root, config));
  // Some releases write 1e30 for "unlimited"; that is no limit.
  if (const Json* max = root.Find("model_max_length"); max != nullptr && max->is_number_integer()) {
    ASSIGN_OR_RETURN(config.model_max_length, root.Int("model_max_length", {1, INT64_MAX}));
  }
  return config;
}

absl::StatusOr<TokenizerSpec> ParseVocabAndMerges(absl::string_view vocab_json,
                                                  absl::string_view merges_txt,
                                                  const TokenizerConfig& config,
                                                  absl::string_view what) {
  TokenizerSpec spec;
  const bool qwen = absl::StartsWith(config.tokenizer_class, "Qwen2Tokenizer");
  if (!qwen && !absl::StartsWith(config.tokenizer_class, "GPT2Tokenizer"))
    return absl::UnimplementedError(absl::StrCat(
        what, ": tokenizer_class '", config.tokenizer_class,
        "' is not supported without a tokenizer.json; Qwen2Tokenizer and GPT2Tokenizer are"));
  spec.pattern = qwen ? SplitPattern::kQwen2 : SplitPattern::kGpt2;
  spec.nfc = qwen;
  spec.added_tokens = config.added_tokens;
  const std::string vocab_name = absl::StrCat(what, "/vocab.json");
  ASSIGN_OR_RETURN(Json document,
                   ParseJson(vocab_json, vocab_name,
                             {.bytes_max = kTokenizerFileBytesMax, .values_max = 8'000'000}));
  ASSIGN_OR_RETURN(JsonObject vocab, JsonObject::From(document, vocab_name));
  for (const auto& [token, id] : document.items()) {
    ASSIGN_OR_RETURN(int64_t number, vocab.Int(token, {0, kTokenIdMax}));
    spec.vocab.emplace_back(token, static_cast<TokenId>(number));
  }
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(merges_txt, '\n')) {
    ++line_number;
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (line.empty() || absl::StartsWith(line, "#version")) continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty())
      return absl::InvalidArgumentError(absl::StrCat(what, "/merges.txt: line ", line_number,
                                                     ": must be two tokens with a space between"));
    spec.merges.emplace_back(parts[0], parts[1]);
  }
  return spec;
}

absl::StatusOr<TokenizerConfig> LoadTokenizerConfig(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer_config.json";
  ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, JsonLimits().bytes_max));
  ASSIGN_OR_RETURN(TokenizerConfig config, ParseTokenizerConfig(text, path.string()));
  if (const std::filesystem::path jinja = folder / "chat_template.jinja"; Exists(jinja)) {
    ASSIGN_OR_RETURN(config.chat_template, ReadSmallFile(jinja, kChatTemplateBytesMax));
  }
  return config;
}

absl::StatusOr<TokenizerSpec> LoadTokenizerSpec(const std::filesystem::path& folder) {
  TokenizerConfig config;
  if (Exists(folder / "tokenizer_config.json")) {
    ASSIGN_OR_RETURN(config, LoadTokenizerConfig(folder));
  }
  if (const std::filesystem::path path = folder / "tokenizer.json"; Exists(path)) {
    ASSIGN_OR_RETURN(std::string text, ReadSmallFile(path, kTokenizerFileBytesMax));
    ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerJson(text, path.string()));
    MergeAddedTokens(config, spec);
    return spec;
  }
  if (!Exists(folder / "vocab.json") || !Exists(folder / "merges.txt")) {
    const std::filesystem::path tiktoken = folder / "qwen.tiktoken";
    if (!Exists(tiktoken)) {
      return absl::NotFoundError(absl::StrCat(
          folder.string(),
          ": has neither tokenizer.json, nor vocab.json and merges.txt, nor qwen.tiktoken"));
    }
    ASSIGN_OR_RETURN(std::string ranks, ReadSmallFile(tiktoken, kTokenizerFileBytesMax));
    return ParseTiktoken(ranks, tiktoken.string());
  }
  ASSIGN_OR_RETURN(std::string vocab, ReadSmallFile(folder / "vocab.json", kTokenizerFileBytesMax));
  ASSIGN_OR_RETURN(std::string merges,
                   ReadSmallFile(folder / "merges.txt", kTokenizerFileBytesMax));
  return ParseVocabAndMerges(vocab, merges, config, folder.string());
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(TokenizerSpec spec, LoadTokenizerSpec(folder));
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Create(std::move(spec));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), folder.string());
  return tokenizer;
}

}  // namespace oneai::models
