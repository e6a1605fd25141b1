#include "serving/scheduler/block_hash.h"

#include <bit>
#include <cstring>
#include <random>
#include <string>

namespace oneai::serving {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Absorb(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
  uint64_t Squeeze() {
    for (int i = 0; i < 4; ++i) Round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t LoadWord(const char* bytes, size_t num_bytes) {
  uint64_t word = 0;  // little-endian machines only, as everything that reads model files
  std::memcpy(&word, bytes, num_bytes);
  return word;
}

void AppendBytes(std::string& out, const void* data, size_t num_bytes) {
  out.append(static_cast<const char*>(data), num_bytes);
}

// Length first, so that no two lists of strings give the same bytes.
void AppendString(std::string& out, absl::string_view text) {
  const uint64_t length = text.size();
  AppendBytes(out, &length, sizeof length);
  out.append(text.data(), text.size());
}

}  // namespace

BlockHash SipHash128(const HashKey& key, absl::string_view bytes) {
  SipState s{0x736f6d6570736575 ^ key[0], 0x646f72616e646f6d ^ key[1] ^ 0xee,
             0x6c7967656e657261 ^ key[0], 0x7465646279746573 ^ key[1]};
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) s.Absorb(LoadWord(bytes.data() + i, 8));
  s.Absorb(LoadWord(bytes.data() + i, bytes.size() - i) | (uint64_t{bytes.size()} << 56));
  s.v2 ^= 0xee;
  BlockHash hash;
  hash.low = s.Squeeze();
  s.v1 ^= 0xdd;
  hash.high = s.Squeeze();
  return hash;
}

HashKey RandomHashKey() {
  std::random_device random;
  const auto word = [&random] { return (uint64_t{random()} << 32) | random(); };
  return {word(), word()};
}

BlockHash HashScope(const HashKey& key, const PrefixScope& scope) {
  std::string bytes;
  AppendString(bytes, scope.tenant);
  AppendString(bytes, scope.salt);
  AppendBytes(bytes, &scope.adapter, sizeof scope.adapter);
  AppendBytes(bytes, &scope.model_salt, sizeof scope.model_salt);
  return SipHash128(key, bytes);
}

BlockHash HashBlock(const HashKey& key, const BlockHash& parent, absl::Span<const int32_t> tokens) {
  std::string bytes;
  bytes.reserve(sizeof parent + tokens.size() * sizeof(int32_t));
  AppendBytes(bytes, &parent.low, sizeof parent.low);
  AppendBytes(bytes, &parent.high, sizeof parent.high);
  AppendBytes(bytes, tokens.data(), tokens.size() * sizeof(int32_t));
  return SipHash128(key, bytes);
}

}  // namespace oneai::serving
