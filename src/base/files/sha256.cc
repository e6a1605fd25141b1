#include <openssl/evp.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai {
namespace {

// A running SHA-256. EVP with a built-in digest fails only when memory has run out.
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    Require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void Update(absl::string_view data) {
    Require(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
  }
  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    Require(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
    return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
  }

 private:
  static void Require(bool ok) {
    if (!ok) std::abort();
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string Sha256Hex(absl::string_view data) {
  Sha256 sha256;
  sha256.Update(data);
  return sha256.Hex();
}

absl::StatusOr<std::string> Sha256HexOfFile(const std::filesystem::path& path) {
  const std::string what = absl::StrCat("cannot read ", path.string());
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             std::fclose);
  if (file == nullptr) return ErrnoStatus(errno, what);
  Sha256 sha256;
  std::vector<char> buffer(1 << 20);
  while (true) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get());
    sha256.Update(absl::string_view(buffer.data(), n));
    if (n == buffer.size()) continue;
    if (std::ferror(file.get())) return ErrnoStatus(errno, what);
    return sha256.Hex();
  }
}

}  // namespace oneai
