// File: serving/gateway/identity_cache.cc
#include "serving/gateway/identity_cache.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/files/files.h"

namespace oneai::serving {

std::string BearerToken(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return std::string(absl::StripAsciiWhitespace(authorization.substr(kScheme.size())));
}

absl::StatusOr<Identity> IdentityCache::Find(const std::string& secret) {
  if (secret.empty()) {
    return absl::UnauthenticatedError(
        "no API key: send the header `Authorization: Bearer <your key>`");
  }
  // Longer than any key of ours; not worth a hash.
  if (secret.size() > 512) return absl::UnauthenticatedError("the API key is not valid");
  const std::string hash = Sha256Hex(secret);
  const absl::Time now = clock_->Now();
  std::optional<Entry> known;
  {
    absl::MutexLock lock(&mu_);
    const auto it = entries_.find(hash);
    if (it != entries_.end()) known = it->second;
  }
  if (known.has_value() && now < known->next_ask) return known->identity;
  absl::StatusOr<Identity> identity = resolve_(secret);
  if (identity.ok() || absl::IsUnauthenticated(identity.status())) {
    const absl::Duration lifetime = identity.ok() ? settings_.lifetime : settings_.refused;
    Keep(hash, {identity, now, now + lifetime});
    return identity;
  }
  if (known.has_value() && known->identity.ok() && now - known->asked < settings_.grace) {
    // Asking costs seconds while nobody answers: not every request shall pay for it.
    known->next_ask = now + settings_.lifetime;
    Keep(hash, *known);
    return known->identity;
  }
  return absl::UnavailableError("the API key cannot be checked now; retry");
}

void IdentityCache::Keep(const std::string& hash, Entry entry) {
  absl::MutexLock lock(&mu_);
  if (entries_.size() >= settings_.num_keys_max && !entries_.contains(hash)) {
    // Refused keys first: strangers can make any number of them, the company's own keys are few.
    std::erase_if(entries_, [](const auto& item) { return !item.second.identity.ok(); });
    if (entries_.size() >= settings_.num_keys_max) entries_.clear();
  }
  entries_.insert_or_assign(hash, std::move(entry));
}

}  // namespace oneai::serving
