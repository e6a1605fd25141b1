// File: base/ids.h
//
// Distinct types for names that must not be mixed up. StrongId<Tag> holds a string; two ids of
// different tags neither convert nor compare.
#pragma once

#include <compare>
#include <cstdint>
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

// While it lives, this thread's NewId draws from a sequence that `seed` alone decides: for
// deterministic simulation. Never for ids that outsiders must not guess; NewSecret is not touched.
class ScopedIdSequence {
 public:
  explicit ScopedIdSequence(uint64_t seed);
  ~ScopedIdSequence();
  ScopedIdSequence(const ScopedIdSequence&) = delete;
  ScopedIdSequence& operator=(const ScopedIdSequence&) = delete;

 private:
  friend std::string NewId(absl::string_view prefix);
  uint32_t Draw(uint32_t bound);
  uint64_t state_;
  ScopedIdSequence* const outer_;
};

// 256 random bits as URL-safe base64 without padding (43 characters). For secrets.
std::string NewSecret();

}  // namespace oneai
