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

}  // namespace

std::string NewId(absl::string_view prefix) {
  static constexpr absl::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  RequireRandom();
  std::string id(prefix);
  for (int i = 0; i < 10; ++i) {
    id += kAlphabet[randombytes_uniform(static_cast<uint32_t>(kAlphabet.size()))];
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
