// File: base/auth/pki.h
//
// The fabric's own certificate authority: ECDSA P-256 keys, X.509 v3 certificates whose URI SAN is
// the identity (SPIFFE style, spiffe://oneai/<kind>/<name>). By OpenSSL; nothing cryptographic is
// written here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace oneai {

struct KeyPair {
  std::string certificate_pem;  // leaf only
  std::string private_key_pem;
};

// What to certify. `kind`: controller, node, pool (speaks for the nodes "<name>.*"), gateway, job,
// user, component.
struct CertificateRequest {
  std::string kind;
  std::string name;
  std::vector<std::string>
      hosts;  // DNS names and IP addresses; "localhost" and 127.0.0.1 for one machine
  absl::Duration lifetime = absl::Hours(24 * 30);
};

class CertificateAuthority {
 public:
  // A new CA, ten years.
  static absl::StatusOr<CertificateAuthority> Create();
  // Reads ca.crt and ca.key; NotFound, InvalidArgument (malformed, or key and certificate differ).
  static absl::StatusOr<CertificateAuthority> Load(const std::string& dir);
  // Writes ca.crt and ca.key (mode 0600), durably.
  absl::Status Save(const std::string& dir) const;

  absl::StatusOr<KeyPair> Issue(const CertificateRequest& request) const;
  const std::string& certificate_pem() const { return certificate_pem_; }

 private:
  std::string certificate_pem_;
  std::string private_key_pem_;
};

// Paths (not contents) of a component's credentials, as flags give them.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string private_key;
};

// Contents, read and checked: the key fits the certificate, the certificate is within its dates and
// signed by the CA. The error names the file and what is wrong with it.
struct TlsCredentials {
  std::string ca_pem;
  std::string certificate_pem;
  std::string private_key_pem;
};
absl::StatusOr<TlsCredentials> LoadTlsCredentials(const TlsFiles& files);

}  // namespace oneai
