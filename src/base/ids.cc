#include "base/ids.h"

#include <sodium.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace oneai {
namespace {

// sodium_init is idempotent and thread-safe; it fails only when the system has no random numbers.
void RequireRandom() {
  if (sodium_init() < 0) std::abort();
}

// Per thread, because simulations run beside each other; null everywhere but there.
thread_local ScopedIdSequence* id_sequence = nullptr;

}  // namespace

ScopedIdSequence::ScopedIdSequence(uint64_t seed) : state_(seed), outer_(id_sequence) {
  id_sequence = this;
}
ScopedIdSequence::~ScopedIdSequence() { id_sequence = outer_; }

// SplitMix64 (Steele, Lea, Flood, OOPSLA'14).
uint32_t ScopedIdSequence::Draw(uint32_t bound) {
  state_ += 0x9e3779b97f4a7c15ull;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>((z ^ (z >> 31)) % bound);
}

std::string NewId(absl::string_view prefix) {
  static constexpr absl::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  RequireRandom();
  std::string id(prefix);
  for (int i = 0; i < 10; ++i) {
    const uint32_t size = kAlphabet.size();
    id += kAlphabet[id_sequence != nullptr ? id_sequence->Draw(size) : randombytes_uniform(size)];
  }
  return id;
}

std::string NewSecret() {
  RequireRandom();
  std::array<char, 32> bits;
  randombytes_buf(bits.data(), bits.size());
  std::string text;
  absl::WebSafeBase64Escape(absl::string_view(bits.data(), bits.size()), &text);
  sodium_memzero(bits.data(), bits.size());
  return text;
}

}  // namespace oneai
