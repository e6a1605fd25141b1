#include "serving/grammar/json_schema_ids.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "serving/grammar/json_keywords.h"

namespace oneai::serving {
namespace {

using models::OrderedJson;

// Data, in which nothing is a schema.
constexpr absl::string_view kDataKeywords[] = {"enum", "const", "default", "examples", "example"};
// Schemas by names that are not keywords.
constexpr absl::string_view kMapKeywords[] = {"properties",  "patternProperties", "$defs",
                                              "definitions", "dependentSchemas",  "dependencies"};
// A schema, or a list of them.
constexpr absl::string_view kSchemaKeywords[] = {"items",
                                                 "prefixItems",
                                                 "additionalItems",
                                                 "unevaluatedItems",
                                                 "contains",
                                                 "not",
                                                 "if",
                                                 "then",
                                                 "else",
                                                 "additionalProperties",
                                                 "unevaluatedProperties",
                                                 "allOf",
                                                 "anyOf",
                                                 "oneOf",
                                                 "propertyNames"};

struct Reference {
  absl::string_view place, fragment;  // before and after the first '#'
};

Reference SplitFragment(absl::string_view uri) {
  const size_t hash = uri.find('#');
  if (hash == absl::string_view::npos) return {uri, ""};
  return {uri.substr(0, hash), uri.substr(hash + 1)};
}

// Bytes up to and including the colon of a scheme; 0: there is none.
size_t SchemeBytes(absl::string_view uri) {
  for (size_t i = 0; i < uri.size(); ++i) {
    if (uri[i] == ':') return i > 0 ? i + 1 : 0;
    const bool is_allowed = absl::ascii_isalpha(static_cast<unsigned char>(uri[i])) ||
                            (i > 0 && (absl::ascii_isdigit(static_cast<unsigned char>(uri[i])) ||
                                       uri[i] == '+' || uri[i] == '-' || uri[i] == '.'));
    if (!is_allowed) return 0;
  }
  return 0;
}

// Takes "." and ".." out of what follows `begin`.
std::string WithoutDots(const std::string& uri, size_t begin) {
  std::string out = uri.substr(0, begin);
  for (size_t at = begin; at < uri.size();) {
    size_t end = uri.find('/', at);
    end = end == std::string::npos ? uri.size() : end + 1;
    const absl::string_view segment = absl::string_view(uri).substr(at, end - at);
    const absl::string_view name = absl::StripSuffix(segment, "/");
    at = end;
    if (name == ".") continue;
    if (name != "..") {
      absl::StrAppend(&out, segment);
    } else if (out.size() > begin + 1) {
      out.resize(out.find_last_of('/', out.size() - 2) + 1);
    }
  }
  return out;
}

// `place`, which has no fragment, as seen from `base`.
std::string Resolve(const std::string& base, absl::string_view place) {
  if (place.empty()) return base;
  if (SchemeBytes(place) > 0) return std::string(place);
  const size_t scheme = SchemeBytes(base);
  if (absl::StartsWith(place, "//")) return absl::StrCat(base.substr(0, scheme), place);
  size_t path = scheme;
  if (absl::StartsWith(absl::string_view(base).substr(scheme), "//"))
    path = std::min(base.find('/', scheme + 2), base.size());
  if (place[0] == '/') return WithoutDots(absl::StrCat(base.substr(0, path), place), path);
  const size_t slash = base.rfind('/');
  const size_t kept = slash != std::string::npos && slash + 1 > path ? slash + 1 : path;
  const bool needs_slash = kept == path && path > scheme;
  return WithoutDots(absl::StrCat(base.substr(0, kept), needs_slash ? "/" : "", place), path);
}

std::string Child(const std::string& pointer, absl::string_view key) {
  return absl::StrCat(pointer, "/", absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}}));
}

class Names {
 public:
  // Notes the names of `s`, a schema at `pointer`, and of those in it.
  absl::Status Collect(const OrderedJson& s, const std::string& base, const std::string& pointer) {
    if (!s.is_object()) return absl::OkStatus();
    std::string here = base;
    if (s.contains("$id") && s["$id"].is_string()) {
      const Reference id = SplitFragment(s["$id"].get_ref<const std::string&>());
      here = Resolve(base, id.place);
      if (!id.place.empty()) RETURN_IF_ERROR(Add(here, pointer));
      // Drafts 6 and 7 write an anchor as an $id.
      if (!id.fragment.empty() && id.fragment[0] != '/')
        RETURN_IF_ERROR(Add(absl::StrCat(here, "#", id.fragment), pointer));
    }
    if (pointer.empty()) places_.try_emplace(here, pointer);
    if (s.contains("$anchor") && s["$anchor"].is_string()) {
      RETURN_IF_ERROR(
          Add(absl::StrCat(here, "#", s["$anchor"].get_ref<const std::string&>()), pointer));
    }
    for (const auto& [key, value] : s.items()) {
      const std::string at = Child(pointer, key);
      if (IsIn(kSchemaKeywords, key)) {
        RETURN_IF_ERROR(Collect(value, here, at));
        for (size_t i = 0; value.is_array() && i < value.size(); ++i)
          RETURN_IF_ERROR(Collect(value[i], here, absl::StrCat(at, "/", i)));
      } else if (IsIn(kMapKeywords, key) && value.is_object()) {
        for (const auto& [name, schema] : value.items())
          RETURN_IF_ERROR(Collect(schema, here, Child(at, name)));
      }
    }
    return absl::OkStatus();
  }

  // Rewrites the references of `s`, a schema, or a list or map of schemas.
  void Rewrite(OrderedJson& s, const std::string& base, bool is_map) const {
    if (s.is_array()) {
      for (OrderedJson& part : s) Rewrite(part, base, false);
      return;
    }
    if (!s.is_object()) return;
    std::string here = base;
    if (!is_map && s.contains("$id") && s["$id"].is_string())
      here = Resolve(base, SplitFragment(s["$id"].get_ref<const std::string&>()).place);
    for (auto& [key, value] : s.items()) {
      if (!is_map && key == "$ref" && value.is_string()) {
        value = PlaceOf(value.get_ref<const std::string&>(), here);
      } else if (is_map || !IsIn(kDataKeywords, key)) {
        Rewrite(value, here, !is_map && IsIn(kMapKeywords, key));
      }
    }
  }

 private:
  absl::Status Add(std::string name, const std::string& pointer) {
    const auto [it, added] = places_.try_emplace(std::move(name), pointer);
    if (added || it->second == pointer) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("#", pointer, ": #", it->second,
                                                   " has the same name, '", it->first,
                                                   "'; change $id or $anchor of one of them"));
  }

  std::string PlaceOf(const std::string& ref, const std::string& base) const {
    const Reference parts = SplitFragment(ref);
    const std::string place = Resolve(base, parts.place);
    const bool is_pointer = parts.fragment.empty() || parts.fragment[0] == '/';
    const auto it = places_.find(is_pointer ? place : absl::StrCat(place, "#", parts.fragment));
    if (it == places_.end()) return ref;
    return absl::StrCat("#", it->second, is_pointer ? parts.fragment : "");
  }

  std::map<std::string, std::string> places_;  // pointers by URI
};

}  // namespace

absl::Status ReferToPlaces(OrderedJson& root) {
  Names names;
  RETURN_IF_ERROR(names.Collect(root, "", ""));
  names.Rewrite(root, "", false);
  return absl::OkStatus();
}

}  // namespace oneai::serving
