// File: serving/grammar/utf8_sequences.h
//
// A range of characters as ranges of bytes: the UTF-8 forms of [first, last] are the union of a few
// sequences of byte ranges. Source: Unicode table 3-7; the splitting as in RE2, compile.cc.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "serving/grammar/expression.h"

namespace oneai::serving {

struct ByteRange {
  uint8_t first;
  uint8_t last;
};

struct Utf8Sequence {
  std::array<ByteRange, 4> bytes;
  int length;  // 1 to 4
};

// Appends the sequences of `range`, which has no surrogates; at most 13.
void AppendUtf8Sequences(CharRange range, std::vector<Utf8Sequence>& out);

}  // namespace oneai::serving
