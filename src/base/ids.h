// File: base/ids.h
//
// Distinct types for names that must not be mixed up. StrongId<Tag> holds a string; two ids of
// different tags neither convert nor compare.
#pragma once

#include <compare>
#include <ostream>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace oneai {

template <typename Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const StrongId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const StrongId& id) {
    return H::combine(std::move(h), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& os, const StrongId& id) { return os << id.value_; }

 private:
  std::string value_;
};

using JobId = StrongId<struct JobIdTag>;
using NodeName = StrongId<struct NodeNameTag>;

// `prefix` and ten random characters of [a-z0-9]: 52 bits from the system's generator.
std::string NewId(absl::string_view prefix);

// 256 random bits as URL-safe base64 without padding (43 characters). For secrets.
std::string NewSecret();

}  // namespace oneai
