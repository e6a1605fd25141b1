// TokenizerSpec and TokenizerConfig -> the files that Hugging Face libraries read.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"
#include "models/json/json_reader.h"
#include "models/tokenizer/tokenizer_files.h"

namespace oneai::models {
namespace {

OrderedJson AddedTokenJson(const AddedToken& token) {
  return {{"content", token.content},       {"single_word", token.single_word},
          {"lstrip", token.lstrip},         {"rstrip", token.rstrip},
          {"normalized", token.normalized}, {"special", token.special}};
}

OrderedJson ByteLevelJson(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", use_regex}};
}

OrderedJson PreTokenizerJson(SplitPattern pattern) {
  if (pattern == SplitPattern::kGpt2) return ByteLevelJson(true);
  const OrderedJson split = {{"type", "Split"},
                             {"pattern", {{"Regex", SplitPatternRegex(pattern)}}},
                             {"behavior", "Isolated"},
                             {"invert", false}};
  return {{"type", "Sequence"},
          {"pretokenizers", OrderedJson::array({split, ByteLevelJson(false)})}};
}

OrderedJson PostProcessorJson(const TokenizerSpec& spec) {
  if (spec.prefix.empty() && spec.suffix.empty()) return ByteLevelJson(false);
  OrderedJson single = OrderedJson::array(), pair = OrderedJson::array();
  OrderedJson specials = OrderedJson::object();
  auto put = [&](TokenId id) {
    std::string name = absl::StrCat(id);
    for (const AddedToken& token : spec.added_tokens)
      if (token.id == id) name = token.content;
    single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
    specials[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
  };
  for (TokenId id : spec.prefix) put(id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (TokenId id : spec.suffix) put(id);
  pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  const OrderedJson processor = {{"type", "TemplateProcessing"},
                                 {"single", single},
                                 {"pair", pair},
                                 {"special_tokens", specials}};
  return {{"type", "Sequence"},
          {"processors", OrderedJson::array({ByteLevelJson(false), processor})}};
}

}  // namespace

std::string ToTokenizerJson(const TokenizerSpec& spec) {
  OrderedJson added = OrderedJson::array();
  for (const AddedToken& token : spec.added_tokens) {
    OrderedJson entry = {{"id", token.id}};
    entry.update(AddedTokenJson(token));
    added.push_back(std::move(entry));
  }
  std::vector<std::pair<std::string, TokenId>> vocab = spec.vocab;
  std::sort(vocab.begin(), vocab.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  OrderedJson vocab_json = OrderedJson::object();
  auto& entries =
      vocab_json.get_ref<OrderedJson::object_t&>();  // appended: look-up would be quadratic
  for (auto& [token, id] : vocab) entries.push_back({std::move(token), OrderedJson(id)});
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : spec.merges) merges.push_back(absl::StrCat(left, " ", right));
  OrderedJson model = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", ""},
                       {"end_of_word_suffix", ""},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", spec.ignore_merges}};
  model["vocab"] = std::move(vocab_json);
  model["merges"] = std::move(merges);
  OrderedJson root = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = std::move(added);
  root["normalizer"] = spec.nfc ? OrderedJson{{"type", "NFC"}} : OrderedJson(nullptr);
  root["pre_tokenizer"] = PreTokenizerJson(spec.pattern);
  root["post_processor"] = PostProcessorJson(spec);
  root["decoder"] = ByteLevelJson(false);
  root["model"] = std::move(model);
  return root.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string ToTokenizerConfigJson(const TokenizerConfig& config) {
  OrderedJson decoder = OrderedJson::object();
  for (const AddedToken& token : config.added_tokens)
    decoder[absl::StrCat(token.id)] = AddedTokenJson(token);
  auto optional = [](const std::optional<std::string>& text) {
    return text ? OrderedJson(*text) : OrderedJson(nullptr);
  };
  OrderedJson root = {{"add_prefix_space", false}};
  root["added_tokens_decoder"] = std::move(decoder);
  root["bos_token"] = optional(config.bos_token);
  if (config.chat_template) root["chat_template"] = *config.chat_template;
  root["clean_up_tokenization_spaces"] = false;
  root["eos_token"] = optional(config.eos_token);
  root["errors"] = "replace";
  if (config.model_max_length) root["model_max_length"] = *config.model_max_length;
  root["pad_token"] = optional(config.pad_token);
  root["split_special_tokens"] = false;
  root["tokenizer_class"] = config.tokenizer_class;
  root["unk_token"] = optional(config.unk_token);
  return root.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

absl::Status SaveTokenizer(const TokenizerSpec& spec, const TokenizerConfig& config,
                           const std::filesystem::path& folder) {
  RETURN_IF_ERROR(WriteFileAtomically(folder / "tokenizer.json", ToTokenizerJson(spec)));
  return WriteFileAtomically(folder / "tokenizer_config.json", ToTokenizerConfigJson(config));
}

}  // namespace oneai::models
