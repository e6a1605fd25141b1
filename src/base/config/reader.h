// File: base/config/reader.h
//
// Strict reading of YAML and JSON settings into typed structs. Every key must be known: an unknown
// one is an error that names the key, the line and the nearest valid key. Wrong types and ranges
// name key, line, value and what was expected.
//
//   ConfigReader reader(document);                  // a mapping
//   JobFile job;
//   reader.Required("name", job.name);
//   reader.Optional("priority", job.priority, Range{-100, 100});
//   ConfigReader train = reader.Section("pretrain");
//   RETURN_IF_ERROR(reader.Finish());               // the first error, or unknown keys
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace oneai {

struct Range {
  double min;
  double max;
};

// A parsed document: YAML 1.2 subset (JSON included) of at most 1 MiB, 64 levels, 100,000 nodes,
// without aliases. `source` names it in errors ("examples/pretrain.yaml").
class ConfigDocument {
 public:
  static absl::StatusOr<ConfigDocument> Parse(absl::string_view text, std::string source);
  struct Node;
  const std::shared_ptr<const Node>& root() const { return root_; }
  // The document as JSON text.
  std::string ToJson() const;

 private:
  std::shared_ptr<const Node> root_;
};

// Reads one mapping. Errors are kept; Finish() returns the first in document order, unknown keys
// before all others. Copies share state with the section they came from, so Finish() on the
// outermost reader covers all.
class ConfigReader {
 public:
  explicit ConfigReader(const ConfigDocument& document);

  bool Has(absl::string_view key) const;
  // Supported T: std::string, bool, int32_t, int64_t, double, std::vector<std::string>,
  // std::map<std::string, std::string>.
  template <typename T>
  void Required(absl::string_view key, T& value, std::optional<Range> range = std::nullopt);
  template <typename T>
  void Optional(absl::string_view key, T& value, std::optional<Range> range = std::nullopt);
  // "2GiB", "512MiB", "1e9", plain bytes.
  void OptionalBytes(absl::string_view key, int64_t& bytes);
  // "10s", "1.5h", "500ms", plain seconds; stored as milliseconds.
  void OptionalDuration(absl::string_view key, int64_t& milliseconds);
  // One of `allowed`; the error lists them.
  void OptionalChoice(absl::string_view key, std::string& value,
                      const std::vector<std::string>& allowed);
  // An empty section when the key is absent (its Required keys then fail only if Has(key)).
  ConfigReader Section(absl::string_view key);
  // The elements of a list of mappings.
  std::vector<ConfigReader> Sections(absl::string_view key);
  // Takes the whole value of `key` as JSON text whose keys keep their lines, unread keys included;
  // "" when absent.
  std::string RawJson(absl::string_view key);
  // Adds an error at `key` that a check between fields found.
  void Fail(absl::string_view key, absl::string_view problem);

  absl::Status Finish() const;

 private:
  struct State;
  ConfigReader(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

// The candidate nearest to `word` (edit distance at most 3 and a third of its length), if any.
std::optional<std::string> NearestWord(absl::string_view word,
                                       const std::vector<std::string>& candidates);

}  // namespace oneai
