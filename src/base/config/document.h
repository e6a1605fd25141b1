// File: base/config/document.h
//
// The tree behind ConfigDocument. Scalars keep their text and line; their type is decided by who
// reads them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/config/reader.h"

namespace oneai {

struct ConfigDocument::Node {
  enum class Kind { kNull, kScalar, kList, kMapping };
  Kind kind = Kind::kNull;
  int line = 0;                                    // from 1
  std::string source;                              // root only
  std::string text;                                // kScalar
  bool is_quoted = false;                          // kScalar: text, whatever it looks like
  std::vector<std::shared_ptr<const Node>> items;  // kList
  std::vector<std::pair<std::string, std::shared_ptr<const Node>>> entries;  // kMapping, in order

  // Null: no such key.
  const Node* Find(absl::string_view key) const;
};

// "a list", "a mapping", "text", ...: for errors.
std::string KindOf(const ConfigDocument::Node& node);

// kKeep: each key stands on the line it had in the source, so that whoever parses the text again
// names the user's own lines.
enum class JsonLines { kDrop, kKeep };
std::string NodeToJson(const ConfigDocument::Node& node, JsonLines lines);

}  // namespace oneai
