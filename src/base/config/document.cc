#include "base/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/config/scalar.h"

namespace oneai {
namespace {

using Node = ConfigDocument::Node;

constexpr size_t kTextBytesMax = 1 << 20;
constexpr size_t kDepthMax = 64;
constexpr int kNumNodesMax = 100'000;

// Thrown through yaml-cpp's parser, which offers no other way to stop, and caught in Parse.
struct Refusal {
  int line;
  std::string problem;
};

// Builds the tree from parser events: unlike YAML::Node they show aliases, anchors and repeated
// keys.
class TreeBuilder final : public YAML::EventHandler {
 public:
  std::shared_ptr<Node> TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(NewNode(mark, anchor, Node::Kind::kNull));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{LineOf(mark), "aliases (*name) are not allowed; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // yaml-cpp tags plain scalars "?" and quoted ones "!".
    const bool is_quoted = tag == "!";
    if (!is_quoted && tag != "?" && !tag.empty()) RefuseTag(mark, tag);
    if (open_.size() > 0 && open_.back()->kind == Node::Kind::kMapping && !has_key_) {
      return SetKey(mark, value);
    }
    const bool is_null = !is_quoted && (value == "~" || absl::EqualsIgnoreCase(value, "null"));
    std::shared_ptr<Node> node =
        NewNode(mark, anchor, is_null ? Node::Kind::kNull : Node::Kind::kScalar);
    node->text = value;
    node->is_quoted = is_quoted;
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnSequenceEnd() override { CloseOne(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kMapping);
  }
  void OnMapEnd() override { CloseOne(); }

 private:
  static int LineOf(const YAML::Mark& mark) { return mark.line + 1; }
  [[noreturn]] static void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    throw Refusal{LineOf(mark), absl::StrCat("tag \"", tag, "\" is not allowed")};
  }

  std::shared_ptr<Node> NewNode(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind) {
    if (anchor != YAML::NullAnchor) {
      throw Refusal{LineOf(mark), "anchors (&name) are not allowed; write the value out"};
    }
    if (++num_nodes_ > kNumNodesMax) {
      throw Refusal{LineOf(mark), absl::StrCat("more than ", kNumNodesMax, " values")};
    }
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = LineOf(mark);
    return node;
  }

  void SetKey(const YAML::Mark& mark, const std::string& key) {
    if (open_.back()->Find(key) != nullptr) {
      throw Refusal{LineOf(mark),
                    absl::StrCat("key \"", absl::CHexEscape(key), "\" stands here twice")};
    }
    key_ = key;
    key_line_ = LineOf(mark);
    has_key_ = true;
  }

  void Add(std::shared_ptr<Node> node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Node& parent = *open_.back();
    if (parent.kind == Node::Kind::kList) {
      parent.items.push_back(std::move(node));
    } else if (has_key_) {
      node->line = key_line_;
      parent.entries.emplace_back(std::exchange(key_, ""), std::move(node));
      has_key_ = false;
    } else {
      throw Refusal{node->line, "a key must be plain text"};
    }
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    if (!tag.empty() && tag != "?") RefuseTag(mark, tag);
    if (open_.size() >= kDepthMax) {
      throw Refusal{LineOf(mark), absl::StrCat("nested deeper than ", kDepthMax, " levels")};
    }
    std::shared_ptr<Node> node = NewNode(mark, anchor, kind);
    Add(node);
    open_.push_back(std::move(node));
  }

  void CloseOne() { open_.pop_back(); }

  std::shared_ptr<Node> root_;
  std::vector<std::shared_ptr<Node>> open_;
  std::string key_;
  int key_line_ = 0;
  bool has_key_ = false;
  int num_nodes_ = 0;
};

absl::Status ParseError(const std::string& source, int line, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(source, ":", line, ": ", problem));
}

}  // namespace

const Node* ConfigDocument::Node::Find(absl::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return value.get();
  }
  return nullptr;
}

std::string KindOf(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMapping:
      return "a mapping";
    case Node::Kind::kScalar:
      break;
  }
  return absl::StrCat("\"", absl::CHexEscape(node.text), "\"");
}

namespace {

class JsonWriter {
 public:
  explicit JsonWriter(JsonLines lines) : lines_(lines) {}
  void Write(const Node& node) {
    switch (node.kind) {
      case Node::Kind::kNull:
        json_ += "null";
        return;
      case Node::Kind::kScalar:
        json_ += ScalarToJson(node.text, node.is_quoted);
        return;
      case Node::Kind::kList:
        return WriteList(node);
      case Node::Kind::kMapping:
        return WriteMapping(node);
    }
  }
  std::string Take() && { return std::move(json_); }

 private:
  void AdvanceTo(int line) {
    if (lines_ == JsonLines::kDrop) return;
    for (; line_ < line; ++line_) json_ += '\n';
  }
  void WriteList(const Node& node) {
    json_ += '[';
    for (size_t i = 0; i < node.items.size(); ++i) {
      if (i > 0) json_ += ',';
      AdvanceTo(node.items[i]->line);
      Write(*node.items[i]);
    }
    json_ += ']';
  }
  void WriteMapping(const Node& node) {
    json_ += '{';
    for (size_t i = 0; i < node.entries.size(); ++i) {
      const auto& [key, value] = node.entries[i];
      if (i > 0) json_ += ',';
      // A nested mapping's own line is its first key's, one below the key that holds it.
      if (value->kind == Node::Kind::kScalar || value->kind == Node::Kind::kNull)
        AdvanceTo(value->line);
      absl::StrAppend(&json_, JsonQuote(key), ":");
      Write(*value);
    }
    json_ += '}';
  }

  const JsonLines lines_;
  std::string json_;
  int line_ = 1;
};

}  // namespace

std::string NodeToJson(const Node& node, JsonLines lines) {
  JsonWriter writer(lines);
  writer.Write(node);
  return std::move(writer).Take();
}

absl::StatusOr<ConfigDocument> ConfigDocument::Parse(absl::string_view text, std::string source) {
  if (text.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, " has ", text.size(), " bytes; at most ", kTextBytesMax, " are read"));
  }
  TreeBuilder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    std::shared_ptr<Node> root = builder.TakeRoot();
    if (root == nullptr) root = std::make_shared<Node>();
    TreeBuilder rest;
    if (parser.HandleNextDocument(rest)) {
      return ParseError(source, root->line, "only one document is allowed in a file");
    }
    if (root->kind == Node::Kind::kNull) root->kind = Node::Kind::kMapping;  // an empty file
    root->source = std::move(source);
    ConfigDocument document;
    document.root_ = std::move(root);
    return document;
  } catch (const Refusal& refusal) {
    return ParseError(source, refusal.line, refusal.problem);
  } catch (const YAML::Exception& error) {
    return ParseError(source, error.mark.line + 1, error.msg);
  }
}

std::string ConfigDocument::ToJson() const { return NodeToJson(*root_, JsonLines::kDrop); }

}  // namespace oneai
