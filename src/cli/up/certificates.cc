#include "cli/up/certificates.h"

#include <sys/stat.h>

#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai::cli {

TlsFiles TlsFilesIn(const std::filesystem::path& pki, const std::string& name) {
  return {(pki / "ca.crt").string(), (pki / (name + ".crt")).string(),
          (pki / (name + ".key")).string()};
}

absl::StatusOr<CertificateAuthority> EnsureAuthority(const std::filesystem::path& pki) {
  absl::StatusOr<CertificateAuthority> ca = CertificateAuthority::Load(pki.string());
  if (!absl::IsNotFound(ca.status())) return ca;
  ca = CertificateAuthority::Create();
  RETURN_IF_ERROR(ca.status());
  RETURN_IF_ERROR(ca->Save(pki.string()));
  return ca;
}

absl::Status EnsureCertificate(const CertificateAuthority& ca, const std::filesystem::path& pki,
                               const CertificateRequest& request) {
  const TlsFiles files = TlsFilesIn(pki, request.name);
  // A file that is absent, damaged or out of date is replaced; the CA is what must not change.
  struct stat info;
  const bool fresh = stat(files.certificate.c_str(), &info) == 0 &&
                     absl::Now() - absl::FromTimeT(info.st_mtime) < absl::Hours(24 * 23);
  if (fresh && LoadTlsCredentials(files).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const KeyPair pair, ca.Issue(request));
  RETURN_IF_ERROR(WriteFileAtomically(files.private_key, pair.private_key_pem, 0600));
  return WriteFileAtomically(files.certificate, pair.certificate_pem, 0644);
}

}  // namespace oneai::cli
