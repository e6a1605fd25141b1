// File: models/tokenizer/byte_alphabet.h
//
// GPT-2's bijection between bytes and printable characters, in which byte-level vocabularies are
// spelled: printable bytes of Latin-1 stand for themselves, the other 68 for U+0100, U+0101, ... in
// order. Source: openai/gpt-2, src/encoder.py, bytes_to_unicode().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace oneai::models {

// Code point of each byte.
const std::array<uint32_t, 256>& ByteAlphabet();

// Spells bytes in the alphabet, as UTF-8.
std::string SpellBytes(absl::string_view bytes);

// The inverse; nullopt when `token` has a character outside the alphabet.
std::optional<std::string> UnspellBytes(absl::string_view token);

}  // namespace oneai::models
