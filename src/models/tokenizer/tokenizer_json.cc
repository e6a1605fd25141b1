// tokenizer.json -> TokenizerSpec.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::models {
namespace {

constexpr IntRange kIdRange = {0, kTokenIdMax};
constexpr JsonLimits kLimits = {
    .bytes_max = kTokenizerFileBytesMax, .values_max = 12'000'000, .depth_max = 32};

absl::Status Unsupported(const JsonObject& at, absl::string_view key, absl::string_view message) {
  return absl::UnimplementedError(
      absl::StrCat(at.what(), ": ", at.PathOf(key), ": ", message,
                   "; byte-level BPE as in GPT-2, Qwen2/2.5/3 and Qwen3.5 is supported"));
}

// Refuses `key` when it is there with another value than `wanted`.
absl::Status RequireFalse(const JsonObject& at, absl::string_view key, bool fallback) {
  ASSIGN_OR_RETURN(bool value, at.BoolOr(key, fallback));
  return value ? Unsupported(at, key, "true is not supported") : absl::OkStatus();
}

absl::Status RequireEmpty(const JsonObject& at, absl::string_view key) {
  ASSIGN_OR_RETURN(std::string value, at.StringOr(key, ""));
  return value.empty() ? absl::OkStatus() : Unsupported(at, key, absl::StrCat("'", value, "'"));
}

// The items of a "Sequence" under `list_key`, or the object itself.
absl::StatusOr<std::vector<JsonObject>> Flatten(const JsonObject& node,
                                                absl::string_view list_key) {
  ASSIGN_OR_RETURN(std::string type, node.String("type"));
  if (type != "Sequence") return std::vector<JsonObject>{node};
  const Json* list = node.Find(list_key);
  if (list == nullptr || !list->is_array()) return node.Error(list_key, "must be a list");
  std::vector<JsonObject> items;
  for (const Json& item : *list) {
    ASSIGN_OR_RETURN(JsonObject object,
                     JsonObject::From(item, node.what(),
                                      absl::StrCat(node.PathOf(list_key), "[", items.size(), "]")));
    items.push_back(std::move(object));
  }
  return items;
}

absl::Status ReadNormalizer(const JsonObject& root, TokenizerSpec& spec) {
  spec.nfc = false;
  if (!root.Has("normalizer")) return absl::OkStatus();
  ASSIGN_OR_RETURN(JsonObject node, root.Object("normalizer"));
  ASSIGN_OR_RETURN(std::vector<JsonObject> items, Flatten(node, "normalizers"));
  for (const JsonObject& item : items) {
    ASSIGN_OR_RETURN(std::string type, item.String("type"));
    if (type != "NFC") return Unsupported(item, "type", absl::StrCat("normalizer '", type, "'"));
    spec.nfc = true;
  }
  return absl::OkStatus();
}

absl::Status ReadSplit(const JsonObject& split, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(JsonObject pattern, split.Object("pattern"));
  ASSIGN_OR_RETURN(std::string regex, pattern.String("Regex"));
  const std::optional<SplitPattern> known = ParseSplitPattern(regex);
  if (!known.has_value())
    return Unsupported(pattern, "Regex", absl::StrCat("unknown pattern ", regex.substr(0, 300)));
  spec.pattern = *known;
  ASSIGN_OR_RETURN(std::string behavior, split.String("behavior"));
  if (behavior != "Isolated")
    return Unsupported(split, "behavior", absl::StrCat("'", behavior, "'"));
  return RequireFalse(split, "invert", false);
}

absl::Status ReadPreTokenizer(const JsonObject& root, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(JsonObject node, root.Object("pre_tokenizer"));
  ASSIGN_OR_RETURN(std::vector<JsonObject> items, Flatten(node, "pretokenizers"));
  bool split = false, byte_level = false;
  for (const JsonObject& item : items) {
    ASSIGN_OR_RETURN(std::string type, item.String("type"));
    if (type == "Split" && !split && !byte_level) {
      split = true;
      RETURN_IF_ERROR(ReadSplit(item, spec));
    } else if (type == "ByteLevel" && !byte_level) {
      byte_level = true;
      RETURN_IF_ERROR(RequireFalse(item, "add_prefix_space", true));
      ASSIGN_OR_RETURN(bool use_regex, item.BoolOr("use_regex", true));
      if (use_regex == split)
        return Unsupported(item, "use_regex",
                           "must be true without a Split before it and false after one");
    } else {
      return Unsupported(item, "type", absl::StrCat("pre-tokenizer '", type, "' at this place"));
    }
  }
  if (!byte_level) return Unsupported(root, "pre_tokenizer", "has no ByteLevel step");
  if (!split) spec.pattern = SplitPattern::kGpt2;
  return absl::OkStatus();
}

// TemplateProcessing: the special tokens before and after sequence A of its "single" template.
absl::Status ReadTemplate(const JsonObject& node, TokenizerSpec& spec) {
  const Json* single = node.Find("single");
  if (single == nullptr || !single->is_array()) return node.Error("single", "must be a list");
  ASSIGN_OR_RETURN(JsonObject specials, node.Object("special_tokens"));
  bool sequence_seen = false;
  for (const Json& entry : *single) {
    ASSIGN_OR_RETURN(JsonObject piece, JsonObject::From(entry, node.what(), node.PathOf("single")));
    if (piece.Has("Sequence")) {
      sequence_seen = true;
      continue;
    }
    ASSIGN_OR_RETURN(JsonObject special, piece.Object("SpecialToken"));
    ASSIGN_OR_RETURN(std::string name, special.String("id"));
    ASSIGN_OR_RETURN(JsonObject definition, specials.Object(name));
    ASSIGN_OR_RETURN(std::vector<int64_t> ids, definition.IntOrIntList("ids", kIdRange));
    std::vector<TokenId>& side = sequence_seen ? spec.suffix : spec.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  return absl::OkStatus();
}

absl::Status ReadPostProcessorAndDecoder(const JsonObject& root, TokenizerSpec& spec) {
  if (root.Has("post_processor")) {
    ASSIGN_OR_RETURN(JsonObject node, root.Object("post_processor"));
    ASSIGN_OR_RETURN(std::vector<JsonObject> items, Flatten(node, "processors"));
    for (const JsonObject& item : items) {
      ASSIGN_OR_RETURN(std::string type, item.String("type"));
      if (type == "TemplateProcessing") {
        RETURN_IF_ERROR(ReadTemplate(item, spec));
      } else if (type != "ByteLevel") {  // ByteLevel only trims offsets, which are not kept here
        return Unsupported(item, "type", absl::StrCat("post-processor '", type, "'"));
      }
    }
  }
  ASSIGN_OR_RETURN(JsonObject decoder, root.Object("decoder"));
  ASSIGN_OR_RETURN(std::string type, decoder.String("type"));
  return type == "ByteLevel" ? absl::OkStatus()
                             : Unsupported(decoder, "type", absl::StrCat("decoder '", type, "'"));
}

absl::Status ReadMerges(const JsonObject& model, TokenizerSpec& spec) {
  const Json* merges = model.Find("merges");
  if (merges == nullptr || !merges->is_array()) return model.Error("merges", "must be a list");
  spec.merges.reserve(merges->size());
  for (const Json& merge : *merges) {
    auto bad = [&] {
      return model.Error(absl::StrCat("merges[", spec.merges.size(), "]"),
                         "must be \"left right\" or [\"left\", \"right\"]");
    };
    if (merge.is_array()) {
      if (merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return bad();
      spec.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    if (!merge.is_string()) return bad();
    const std::string& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return bad();
    spec.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const JsonObject& root, TokenizerSpec& spec) {
  ASSIGN_OR_RETURN(JsonObject model, root.Object("model"));
  ASSIGN_OR_RETURN(std::string type, model.StringOr("type", "BPE"));
  if (type != "BPE") return Unsupported(model, "type", absl::StrCat("model '", type, "'"));
  if (model.Has("dropout")) {
    ASSIGN_OR_RETURN(double dropout, model.Double("dropout"));
    if (dropout != 0) return Unsupported(model, "dropout", "random merges are not supported");
  }
  RETURN_IF_ERROR(RequireEmpty(model, "continuing_subword_prefix"));
  RETURN_IF_ERROR(RequireEmpty(model, "end_of_word_suffix"));
  RETURN_IF_ERROR(RequireFalse(model, "byte_fallback", false));
  ASSIGN_OR_RETURN(spec.ignore_merges, model.BoolOr("ignore_merges", false));
  ASSIGN_OR_RETURN(JsonObject vocab, model.Object("vocab"));
  spec.vocab.reserve(vocab.value().size());
  for (const auto& [token, id] : vocab.value().items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kTokenIdMax))
      return vocab.Error(token, absl::StrCat("must be an id from 0 to ", kTokenIdMax));
    spec.vocab.emplace_back(token, id.get<TokenId>());
  }
  return ReadMerges(model, spec);
}

absl::Status ReadAddedTokens(const JsonObject& root, TokenizerSpec& spec) {
  const Json* list = root.Find("added_tokens");
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) return root.Error("added_tokens", "must be a list");
  for (const Json& entry : *list) {
    ASSIGN_OR_RETURN(
        JsonObject item,
        JsonObject::From(entry, root.what(),
                         absl::StrCat("added_tokens[", spec.added_tokens.size(), "]")));
    AddedToken token;
    ASSIGN_OR_RETURN(int64_t id, item.Int("id", kIdRange));
    token.id = static_cast<TokenId>(id);
    ASSIGN_OR_RETURN(token.content, item.String("content"));
    ASSIGN_OR_RETURN(token.special, item.BoolOr("special", false));
    ASSIGN_OR_RETURN(token.single_word, item.BoolOr("single_word", false));
    ASSIGN_OR_RETURN(token.lstrip, item.BoolOr("lstrip", false));
    ASSIGN_OR_RETURN(token.rstrip, item.BoolOr("rstrip", false));
    ASSIGN_OR_RETURN(token.normalized, item.BoolOr("normalized", !token.special));
    spec.added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerJson(absl::string_view json, absl::string_view what) {
  ASSIGN_OR_RETURN(Json document, ParseJson(json, what, kLimits));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, what));
  TokenizerSpec spec;
  RETURN_IF_ERROR(ReadModel(root, spec));
  RETURN_IF_ERROR(ReadAddedTokens(root, spec));
  RETURN_IF_ERROR(ReadNormalizer(root, spec));
  RETURN_IF_ERROR(ReadPreTokenizer(root, spec));
  RETURN_IF_ERROR(ReadPostProcessorAndDecoder(root, spec));
  return spec;
}

}  // namespace oneai::models
