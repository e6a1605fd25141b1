#include "models/tokenizer/unicode_text.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <vector>

namespace oneai::models {
namespace {

CharClass ClassFromIcu(uint32_t code_point) {
  const UChar32 c = static_cast<UChar32>(code_point);
  if (u_isUWhiteSpace(c)) return CharClass::kSpace;
  const uint32_t mask = U_MASK(u_charType(c));
  if (mask & U_GC_L_MASK) return CharClass::kLetter;
  if (mask & U_GC_N_MASK) return CharClass::kNumber;
  if (mask & U_GC_M_MASK) return CharClass::kMark;
  return CharClass::kOther;
}

// ICU's look-up is a trie walk behind a call; the Basic Multilingual Plane as a flat table is 3x
// faster.
const std::vector<CharClass>& BmpClasses() {
  static const std::vector<CharClass>* const table = [] {
    auto* classes = new std::vector<CharClass>(0x10000);
    for (uint32_t c = 0; c < 0x10000; ++c) (*classes)[c] = ClassFromIcu(c);
    return classes;
  }();
  return *table;
}

// What may follow a lead byte: how many continuation bytes, and the range of the first of them.
struct LeadByte {
  int continuations;  // -1: not a lead byte
  uint8_t low, high;
};

LeadByte LeadByteOf(uint8_t byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte < 0xC2) return {-1, 0, 0};
  if (byte < 0xE0) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte < 0xF0) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte < 0xF4) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {-1, 0, 0};
}

// Bytes from `pos` that are a well-formed sequence or the longest prefix of one; `complete` says
// which.
size_t MaximalSubpart(absl::string_view text, size_t pos, bool& complete) {
  const LeadByte lead = LeadByteOf(text[pos]);
  complete = lead.continuations == 0;
  if (lead.continuations <= 0) return 1;
  size_t length = 1;
  for (int i = 0; i < lead.continuations; ++i, ++length) {
    if (pos + length >= text.size()) return length;
    const uint8_t byte = text[pos + length];
    const uint8_t low = i == 0 ? lead.low : 0x80, high = i == 0 ? lead.high : 0xBF;
    if (byte < low || byte > high) return length;
  }
  complete = true;
  return length;
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

Utf8Char DecodeUtf8(absl::string_view text, size_t pos) {
  const uint8_t first = text[pos];
  if (first < 0x80) return {first, 1};
  bool complete = false;
  const size_t length = MaximalSubpart(text, pos, complete);
  if (!complete) return {kIllFormed, 1};
  uint32_t code_point = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) code_point = code_point << 6 | (text[pos + i] & 0x3F);
  return {code_point, static_cast<uint32_t>(length)};
}

CharClass ClassOf(uint32_t code_point) {
  static const CharClass* const bmp = BmpClasses().data();
  if (code_point < 0x10000) return bmp[code_point];
  return code_point <= 0x10FFFF ? ClassFromIcu(code_point) : CharClass::kOther;
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::string ToNfc(absl::string_view text) {
  if (IsAscii(text)) return std::string(text);
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  // ICU counts in int32; longer text is cut at an ASCII byte, which no composition crosses to the
  // left.
  constexpr size_t kChunk = 64 << 20;
  std::string out;
  while (!text.empty() && U_SUCCESS(error)) {
    size_t size = std::min(text.size(), kChunk);
    if (size < text.size())
      while (size > 1 && static_cast<uint8_t>(text[size]) >= 0x80) --size;
    const icu::StringPiece piece(text.data(), static_cast<int32_t>(size));
    if (nfc->isNormalizedUTF8(piece, error)) {
      out.append(text.data(), size);
    } else {
      icu::StringByteSink<std::string> sink(&out);
      nfc->normalizeUTF8(0, piece, sink, nullptr, error);
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string ReplaceIllFormed(absl::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    bool complete = false;
    const size_t length = MaximalSubpart(bytes, pos, complete);
    if (complete) {
      out.append(bytes.data() + pos, length);
    } else {
      out.append("\xEF\xBF\xBD");
    }
    pos += length;
  }
  return out;
}

size_t IncompleteTailBytes(absl::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const size_t pos = bytes.size() - back;
    if ((static_cast<uint8_t>(bytes[pos]) & 0xC0) == 0x80)
      continue;  // a continuation byte: look further
    bool complete = false;
    const size_t length = MaximalSubpart(bytes, pos, complete);
    const bool open = !complete && length == back && LeadByteOf(bytes[pos]).continuations > 0;
    return open ? back : 0;
  }
  return 0;
}

}  // namespace oneai::models
