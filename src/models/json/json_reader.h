// File: models/json/json_reader.h
//
// Reads JSON that comes from a model folder or a request, which is untrusted: size, nesting and
// number of values are bounded, a duplicate key is an error (RFC 8259 section 4 leaves its meaning
// open, and two readers that disagree are a hole), and every complaint names the document and the
// path of the offending value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace oneai::models {

using Json = nlohmann::json;  // keys sorted
using OrderedJson =
    nlohmann::ordered_json;  // keys in document order; look-up is linear, so for small documents

// Bounds of one document. The defaults fit configuration files; a tokenizer needs more values.
struct JsonLimits {
  int64_t bytes_max = 16 << 20;
  int64_t values_max = 1'000'000;  // every scalar, array, object and key counts; bounds memory
  int depth_max = 64;
};

// Parses `text`. `what` names the document in errors (a path, as a rule). InvalidArgument with the
// byte offset for malformed text, duplicate keys, invalid UTF-8 or a bound that is exceeded.
absl::StatusOr<Json> ParseJson(absl::string_view text, absl::string_view what,
                               JsonLimits limits = {});
absl::StatusOr<OrderedJson> ParseOrderedJson(absl::string_view text, absl::string_view what,
                                             JsonLimits limits = {});

// Reads a whole regular file of at most `bytes_max` bytes. NotFound when there is no such file,
// InvalidArgument when it is not a regular file or larger.
absl::StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, int64_t bytes_max);

// ReadSmallFile, then ParseJson with the path as the name.
absl::StatusOr<Json> ReadJsonFile(const std::filesystem::path& path, JsonLimits limits = {});

// Inclusive bounds of a number.
struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

// A typed view of one JSON object. Borrows the value, which must outlive it. A key that is absent
// or null is "missing": the plain getters refuse it, the ...Or getters return their default. A
// value of the wrong type or out of range is InvalidArgument naming document, path, expectation and
// what was found.
class JsonObject {
 public:
  // InvalidArgument when `value` is not an object. `path` is "" for the root.
  static absl::StatusOr<JsonObject> From(const Json& value, absl::string_view what,
                                         absl::string_view path = "");

  bool Has(absl::string_view key) const;
  const Json* Find(absl::string_view key) const;  // nullptr when missing

  absl::StatusOr<int64_t> Int(absl::string_view key, IntRange range = {}) const;
  absl::StatusOr<int64_t> IntOr(absl::string_view key, int64_t fallback, IntRange range = {}) const;
  absl::StatusOr<double> Double(
      absl::string_view key) const;  // integers are accepted; always finite
  absl::StatusOr<double> DoubleOr(absl::string_view key, double fallback) const;
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool fallback) const;
  absl::StatusOr<std::string> String(absl::string_view key) const;
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view fallback) const;
  absl::StatusOr<std::vector<std::string>> StringListOr(absl::string_view key,
                                                        std::vector<std::string> fallback) const;
  // An integer or a list of integers; empty when missing.
  absl::StatusOr<std::vector<int64_t>> IntOrIntList(absl::string_view key,
                                                    IntRange range = {}) const;
  absl::StatusOr<JsonObject> Object(absl::string_view key) const;

  // InvalidArgument "<document>: key '<path.key>': <message>".
  absl::Status Error(absl::string_view key, absl::string_view message) const;
  std::string PathOf(absl::string_view key) const;
  const std::string& what() const { return what_; }
  const Json& value() const { return *value_; }

 private:
  JsonObject(const Json& value, absl::string_view what, absl::string_view path)
      : value_(&value), what_(what), path_(path) {}
  absl::Status Mismatch(absl::string_view key, absl::string_view wanted, const Json* found) const;
  absl::StatusOr<int64_t> CheckedInt(absl::string_view key, const Json& value,
                                     IntRange range) const;

  const Json* value_;
  std::string what_, path_;
};

}  // namespace oneai::models
