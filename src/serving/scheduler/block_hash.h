// File: serving/scheduler/block_hash.h
//
// Names of cached prompt blocks: each is a keyed hash of its tokens and of the name of the block
// before it, so that equal names mean equal tokens from the prompt's beginning.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace oneai::serving {

struct BlockHash {
  uint64_t low = 0, high = 0;

  friend bool operator==(const BlockHash&, const BlockHash&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const BlockHash& hash) {
    return H::combine(std::move(h), hash.low, hash.high);
  }
};

using HashKey = std::array<uint64_t, 2>;

// SipHash-2-4 with 128 bits of output. With a secret key nobody can make two inputs collide.
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012, and the
// reference implementation's 128-bit variant.
BlockHash SipHash128(const HashKey& key, absl::string_view bytes);

// A key from the operating system's random numbers.
HashKey RandomHashKey();

// What keeps prompts apart although their tokens are equal.
struct PrefixScope {
  absl::string_view tenant;
  absl::string_view salt;   // the request's own
  int64_t adapter = -1;     // number of the loaded adapter, never used twice
  uint64_t model_salt = 0;  // ModelRunner::PrefixSalt
};

// The name before the first block.
BlockHash HashScope(const HashKey& key, const PrefixScope& scope);
// The name of the block that holds `tokens` and follows `parent`.
BlockHash HashBlock(const HashKey& key, const BlockHash& parent, absl::Span<const int32_t> tokens);

}  // namespace oneai::serving
