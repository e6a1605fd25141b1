#include "base/store/store.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace oneai {
namespace {

constexpr size_t kKeyBytesMax = 1024;
constexpr size_t kValueBytesMax = 8 << 20;

absl::Status ValidateKey(absl::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("a store key must not be empty");
  if (key.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("store key of ", key.size(), " bytes; at most ",
                                                   kKeyBytesMax, " bytes are allowed"));
  }
  return absl::OkStatus();
}

}  // namespace

Transaction& Transaction::If(std::string key, int64_t mod_revision) {
  compares.push_back({std::move(key), mod_revision});
  return *this;
}

Transaction& Transaction::Put(std::string key, std::string value, int64_t lease_id) {
  mutations.push_back({Mutation::Kind::kPut, std::move(key), std::move(value), lease_id});
  return *this;
}

Transaction& Transaction::Delete(std::string key) {
  mutations.push_back({Mutation::Kind::kDelete, std::move(key), "", 0});
  return *this;
}

absl::Status ValidateTransaction(const Transaction& transaction) {
  for (const Compare& compare : transaction.compares) {
    RETURN_IF_ERROR(ValidateKey(compare.key));
    if (compare.mod_revision < 0) {
      return absl::InvalidArgumentError("a compare needs a revision of 0 or more");
    }
  }
  absl::flat_hash_set<absl::string_view> written;
  for (const Mutation& mutation : transaction.mutations) {
    RETURN_IF_ERROR(ValidateKey(mutation.key));
    if (mutation.value.size() > kValueBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "value of \"", absl::CHexEscape(mutation.key), "\" has ", mutation.value.size(),
          " bytes; at most ", kValueBytesMax, " bytes are allowed"));
    }
    if (!written.insert(mutation.key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("transaction writes \"", absl::CHexEscape(mutation.key), "\" twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status CompareFailed(const Compare& compare, int64_t mod_revision_found) {
  return absl::AbortedError(absl::StrCat("\"", absl::CHexEscape(compare.key), "\" is at revision ",
                                         mod_revision_found, ", not ", compare.mod_revision,
                                         "; read it again and retry"));
}

absl::Status LeaseNotFound(int64_t lease_id) {
  return absl::NotFoundError(absl::StrCat("lease ", lease_id, " has ended; grant a new one"));
}

std::string PrefixEnd(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace oneai
