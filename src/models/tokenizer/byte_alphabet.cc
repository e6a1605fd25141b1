#include "models/tokenizer/byte_alphabet.h"

#include "models/tokenizer/unicode_text.h"

namespace oneai::models {
namespace {

constexpr bool StandsForItself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Code points of the alphabet end at U+0143.
constexpr int kCodePoints = 0x144;

// Byte of each code point, -1 outside the alphabet.
const std::array<int16_t, kCodePoints>& Inverse() {
  static const std::array<int16_t, kCodePoints> table = [] {
    std::array<int16_t, kCodePoints> inverse;
    inverse.fill(-1);
    for (int byte = 0; byte < 256; ++byte)
      inverse[ByteAlphabet()[byte]] = static_cast<int16_t>(byte);
    return inverse;
  }();
  return table;
}

}  // namespace

const std::array<uint32_t, 256>& ByteAlphabet() {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> alphabet;
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte)
      alphabet[byte] = StandsForItself(byte) ? static_cast<uint32_t>(byte) : next++;
    return alphabet;
  }();
  return table;
}

std::string SpellBytes(absl::string_view bytes) {
  std::string token;
  for (const char byte : bytes) AppendUtf8(ByteAlphabet()[static_cast<uint8_t>(byte)], token);
  return token;
}

std::optional<std::string> UnspellBytes(absl::string_view token) {
  std::string bytes;
  for (size_t pos = 0; pos < token.size();) {
    const Utf8Char c = DecodeUtf8(token, pos);
    if (c.code_point >= kCodePoints || Inverse()[c.code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(Inverse()[c.code_point]));
    pos += c.bytes;
  }
  return bytes;
}

}  // namespace oneai::models
