// File: cli/up/certificates.h
//
// Certificates of a one-machine fabric in a folder: <name>.crt and <name>.key beside ca.crt.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "base/auth/pki.h"

namespace oneai::cli {

TlsFiles TlsFilesIn(const std::filesystem::path& pki, const std::string& name);

// The CA in `pki`; a new one when there is none.
absl::StatusOr<CertificateAuthority> EnsureAuthority(const std::filesystem::path& pki);

// Issues the certificate when it is absent, damaged, or expires within a week.
absl::Status EnsureCertificate(const CertificateAuthority& ca, const std::filesystem::path& pki,
                               const CertificateRequest& request);

}  // namespace oneai::cli
