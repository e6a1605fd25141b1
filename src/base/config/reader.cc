#include "base/config/reader.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/config/document.h"
#include "base/config/scalar.h"

namespace oneai {

using Node = ConfigDocument::Node;

// A section being read. Readers share ownership of the whole document, whose deque keeps sections
// in place.
struct ConfigReader::State {
  struct Document : std::enable_shared_from_this<Document> {
    std::shared_ptr<const Node> root;
    std::vector<std::pair<int, std::string>> errors;
    std::vector<std::pair<int, std::string>> missing;  // line, problem
    std::deque<State> sections;

    // A new section; the pointer keeps the document alive.
    std::shared_ptr<State> Open(const Node* node, std::string path) {
      sections.push_back(State{this, node, std::move(path), {}});
      return std::shared_ptr<State>(shared_from_this(), &sections.back());
    }
  };
  Document* document;
  const Node* node;  // null: the section is absent
  std::string path;  // "pretrain.optimizer.", empty for the outermost
  std::vector<std::string> known_keys;

  // The value of `key`, which becomes known; null when absent.
  const Node* Use(absl::string_view key) {
    if (std::find(known_keys.begin(), known_keys.end(), key) == known_keys.end()) {
      known_keys.emplace_back(key);
    }
    return node == nullptr ? nullptr : node->Find(key);
  }

  void AddError(absl::string_view key, const Node* value, absl::string_view problem) {
    const int line = value != nullptr ? value->line : (node != nullptr ? node->line : 1);
    document->errors.emplace_back(line, absl::StrCat("\"", path, key, "\" ", problem));
  }
};

namespace {

constexpr absl::string_view kExpected = "must be ";

std::string Wanted(absl::string_view expected, const Node& value) {
  return absl::StrCat(kExpected, expected, ", not ", KindOf(value));
}

// Each reads `value` or returns what was expected instead.
std::optional<std::string> ReadValue(const Node& node, std::string& value) {
  if (node.kind != Node::Kind::kScalar) return "text";
  value = node.text;
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, bool& value) {
  const std::optional<bool> parsed =
      node.kind == Node::Kind::kScalar && !node.is_quoted ? ParseBool(node.text) : std::nullopt;
  if (!parsed.has_value()) return "true or false";
  value = *parsed;
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, int64_t& value) {
  const std::optional<int64_t> parsed =
      node.kind == Node::Kind::kScalar && !node.is_quoted ? ParseInteger(node.text) : std::nullopt;
  if (!parsed.has_value()) return "a whole number";
  value = *parsed;
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, int32_t& value) {
  int64_t wide = 0;
  if (std::optional<std::string> expected = ReadValue(node, wide)) return expected;
  if (wide < std::numeric_limits<int32_t>::min() || wide > std::numeric_limits<int32_t>::max()) {
    return "a whole number of 32 bits";
  }
  value = static_cast<int32_t>(wide);
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, double& value) {
  const std::optional<double> parsed =
      node.kind == Node::Kind::kScalar && !node.is_quoted ? ParseNumber(node.text) : std::nullopt;
  if (!parsed.has_value()) return "a number";
  value = *parsed;
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, std::vector<std::string>& value) {
  if (node.kind != Node::Kind::kList) return "a list of text";
  std::vector<std::string> items;
  for (const auto& item : node.items) {
    if (item->kind != Node::Kind::kScalar) return "a list of text";
    items.push_back(item->text);
  }
  value = std::move(items);
  return std::nullopt;
}

std::optional<std::string> ReadValue(const Node& node, std::map<std::string, std::string>& value) {
  if (node.kind != Node::Kind::kMapping) return "a mapping from text to text";
  std::map<std::string, std::string> entries;
  for (const auto& [key, item] : node.entries) {
    if (item->kind != Node::Kind::kScalar) return "a mapping from text to text";
    entries[key] = item->text;
  }
  value = std::move(entries);
  return std::nullopt;
}

template <typename T>
bool IsInRange(const T& value, const std::optional<Range>& range) {
  if constexpr (std::is_arithmetic_v<T>) {
    const auto number = static_cast<double>(value);
    return !range.has_value() || (number >= range->min && number <= range->max);
  }
  return true;
}

}  // namespace

ConfigReader::ConfigReader(const ConfigDocument& document) {
  const Node* root = document.root().get();
  const auto shared = std::make_shared<State::Document>();
  shared->root = document.root();
  if (root->kind != Node::Kind::kMapping) {
    shared->errors.emplace_back(
        root->line, absl::StrCat("a mapping (key: value) is expected, not ", KindOf(*root)));
    root = nullptr;
  }
  state_ = shared->Open(root, "");
}

ConfigReader::ConfigReader(std::shared_ptr<State> state) : state_(std::move(state)) {}

bool ConfigReader::Has(absl::string_view key) const { return state_->Use(key) != nullptr; }

template <typename T>
void ConfigReader::Optional(absl::string_view key, T& value, std::optional<Range> range) {
  const Node* node = state_->Use(key);
  if (node == nullptr) return;
  T read{};
  if (const std::optional<std::string> expected = ReadValue(*node, read)) {
    return state_->AddError(key, node, Wanted(*expected, *node));
  }
  if (!IsInRange(read, range)) {
    return state_->AddError(
        key, node,
        absl::StrCat("is ", node->text, "; it must be from ", range->min, " to ", range->max));
  }
  value = std::move(read);
}

template <typename T>
void ConfigReader::Required(absl::string_view key, T& value, std::optional<Range> range) {
  const Node* node = state_->Use(key);
  if (node != nullptr) return Optional(key, value, range);
  if (state_->node != nullptr) {
    state_->document->missing.emplace_back(state_->node->line,
                                           absl::StrCat("\"", state_->path, key, "\" is missing"));
  }
}

#define ONEAI_INSTANTIATE(T)                                                            \
  template void ConfigReader::Required<T>(absl::string_view, T&, std::optional<Range>); \
  template void ConfigReader::Optional<T>(absl::string_view, T&, std::optional<Range>)
ONEAI_INSTANTIATE(std::string);
ONEAI_INSTANTIATE(bool);
ONEAI_INSTANTIATE(int32_t);
ONEAI_INSTANTIATE(int64_t);
ONEAI_INSTANTIATE(double);
ONEAI_INSTANTIATE(std::vector<std::string>);
using TextMap = std::map<std::string, std::string>;
ONEAI_INSTANTIATE(TextMap);
#undef ONEAI_INSTANTIATE

void ConfigReader::OptionalBytes(absl::string_view key, int64_t& bytes) {
  const Node* node = state_->Use(key);
  if (node == nullptr) return;
  const std::optional<int64_t> parsed =
      node->kind == Node::Kind::kScalar ? ParseBytes(node->text) : std::nullopt;
  if (!parsed.has_value()) {
    return state_->AddError(key, node, Wanted("a size such as 512MiB or 2GiB", *node));
  }
  bytes = *parsed;
}

void ConfigReader::OptionalDuration(absl::string_view key, int64_t& milliseconds) {
  const Node* node = state_->Use(key);
  if (node == nullptr) return;
  const std::optional<int64_t> parsed =
      node->kind == Node::Kind::kScalar ? ParseMilliseconds(node->text) : std::nullopt;
  if (!parsed.has_value()) {
    return state_->AddError(key, node, Wanted("a time such as 500ms, 10s or 1.5h", *node));
  }
  milliseconds = *parsed;
}

void ConfigReader::OptionalChoice(absl::string_view key, std::string& value,
                                  const std::vector<std::string>& allowed) {
  const Node* node = state_->Use(key);
  if (node == nullptr) return;
  if (node->kind == Node::Kind::kScalar &&
      std::find(allowed.begin(), allowed.end(), node->text) != allowed.end()) {
    value = node->text;
    return;
  }
  std::string problem = Wanted(absl::StrCat("one of ", absl::StrJoin(allowed, ", ")), *node);
  const std::optional<std::string> nearest = NearestWord(node->text, allowed);
  if (nearest.has_value()) absl::StrAppend(&problem, "; did you mean \"", *nearest, "\"?");
  state_->AddError(key, node, problem);
}

ConfigReader ConfigReader::Section(absl::string_view key) {
  const Node* node = state_->Use(key);
  if (node != nullptr && node->kind != Node::Kind::kMapping) {
    state_->AddError(key, node, Wanted("a mapping", *node));
    node = nullptr;
  }
  return ConfigReader(state_->document->Open(node, absl::StrCat(state_->path, key, ".")));
}

std::vector<ConfigReader> ConfigReader::Sections(absl::string_view key) {
  const Node* node = state_->Use(key);
  std::vector<ConfigReader> sections;
  if (node == nullptr) return sections;
  if (node->kind != Node::Kind::kList) {
    state_->AddError(key, node, Wanted("a list of mappings", *node));
    return sections;
  }
  for (const auto& item : node->items) {
    if (item->kind != Node::Kind::kMapping) {
      state_->AddError(key, item.get(), Wanted("a list of mappings", *item));
      continue;
    }
    const std::string path = absl::StrCat(state_->path, key, "[", sections.size(), "].");
    sections.push_back(ConfigReader(state_->document->Open(item.get(), path)));
  }
  return sections;
}

std::string ConfigReader::RawJson(absl::string_view key) {
  const Node* node = state_->Use(key);
  return node == nullptr ? "" : NodeToJson(*node, JsonLines::kKeep);
}

void ConfigReader::Fail(absl::string_view key, absl::string_view problem) {
  state_->AddError(key, state_->Use(key), problem);
}

absl::Status ConfigReader::Finish() const {
  const State::Document& document = *state_->document;
  std::vector<std::pair<int, std::string>> errors = document.errors;
  for (const State& section : document.sections) {
    if (section.node == nullptr) continue;
    for (const auto& [key, value] : section.node->entries) {
      const std::vector<std::string>& known = section.known_keys;
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      std::string problem = absl::StrCat("unknown key \"", absl::CHexEscape(key), "\"");
      if (const std::optional<std::string> nearest = NearestWord(key, known)) {
        absl::StrAppend(&problem, "; did you mean \"", *nearest, "\"?");
      } else if (!known.empty()) {
        absl::StrAppend(&problem, "; known keys: ", absl::StrJoin(known, ", "));
      }
      errors.emplace_back(value->line, std::move(problem));
    }
  }
  // A misspelt key explains a missing one, so missing keys are reported last.
  if (errors.empty()) errors = document.missing;
  if (errors.empty()) return absl::OkStatus();
  const auto first = std::min_element(
      errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return absl::InvalidArgumentError(
      absl::StrCat(document.root->source, ":", first->first, ": ", first->second));
}

}  // namespace oneai
