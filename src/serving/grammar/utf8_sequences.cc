#include "serving/grammar/utf8_sequences.h"

#include <algorithm>

namespace oneai::serving {
namespace {

constexpr uint32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

int EncodedLength(uint32_t c) {
  int length = 1;
  while (c > kLastOfLength[length - 1]) ++length;
  return length;
}

std::array<uint8_t, 4> Encode(uint32_t c, int length) {
  constexpr uint8_t kLead[] = {0x00, 0xC0, 0xE0, 0xF0};
  std::array<uint8_t, 4> bytes = {};
  for (int i = length - 1; i > 0; --i, c >>= 6) bytes[i] = 0x80 | (c & 0x3F);
  bytes[0] = kLead[length - 1] | static_cast<uint8_t>(c);
  return bytes;
}

}  // namespace

void AppendUtf8Sequences(CharRange range, std::vector<Utf8Sequence>& out) {
  const int length = EncodedLength(range.first);
  if (range.last > kLastOfLength[length - 1]) {
    AppendUtf8Sequences({range.first, kLastOfLength[length - 1]}, out);
    AppendUtf8Sequences({kLastOfLength[length - 1] + 1, range.last}, out);
    return;
  }
  // Cut until, below the first byte that differs, both ends span a whole block of continuations.
  for (int i = 1; i < length; ++i) {
    const uint32_t block = (1u << (6 * i)) - 1;
    if ((range.first & ~block) == (range.last & ~block)) continue;
    if ((range.first & block) != 0) {
      AppendUtf8Sequences({range.first, range.first | block}, out);
      AppendUtf8Sequences({(range.first | block) + 1, range.last}, out);
      return;
    }
    if ((range.last & block) != block) {
      AppendUtf8Sequences({range.first, (range.last & ~block) - 1}, out);
      AppendUtf8Sequences({range.last & ~block, range.last}, out);
      return;
    }
  }
  const std::array<uint8_t, 4> first = Encode(range.first, length);
  const std::array<uint8_t, 4> last = Encode(range.last, length);
  Utf8Sequence sequence = {.bytes = {}, .length = length};
  for (int i = 0; i < length; ++i) sequence.bytes[i] = {first[i], last[i]};
  out.push_back(sequence);
}

}  // namespace oneai::serving
