#include "base/auth/pki.h"

#include <openssl/pem.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/auth/openssl_handles.h"
#include "base/files/files.h"
#include "base/status.h"

namespace oneai {
namespace {

constexpr absl::Duration kCaLifetime = absl::Hours(24 * 3652);
// Machines whose clocks differ a little must still accept a certificate made a moment ago.
constexpr absl::Duration kClockSkew = absl::Minutes(5);
constexpr absl::string_view kKinds[] = {"controller", "node",      "gateway", "job",
                                        "user",       "component", "pool"};

absl::Status CryptoError(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, ": ", OpensslError()));
}

BioPtr MemoryBio(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<CertificatePtr> ParseCertificate(absl::string_view pem) {
  const BioPtr bio = MemoryBio(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate != nullptr) return certificate;
  return absl::InvalidArgumentError(absl::StrCat("is not a PEM certificate: ", OpensslError()));
}

absl::StatusOr<KeyPtr> ParseKey(absl::string_view pem) {
  const BioPtr bio = MemoryBio(pem);
  // An empty passphrase instead of OpenSSL's default, which is to ask on the terminal.
  char no_passphrase[] = "";
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_passphrase));
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(absl::StrCat("is not a PEM private key: ", OpensslError()));
}

absl::StatusOr<std::string> CertificatePem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1)
    return CryptoError("cannot encode certificate");
  return BioText(bio.get());
}

absl::StatusOr<std::string> KeyPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return CryptoError("cannot encode private key");
  }
  return BioText(bio.get());
}

absl::StatusOr<KeyPtr> NewKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return CryptoError("cannot make a key");
  return key;
}

// `value` in OpenSSL's configuration syntax; never anything that came from outside.
bool AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// A new certificate with serial, dates, key and subject; neither extensions nor signature yet.
absl::StatusOr<CertificatePtr> NewCertificate(const std::string& common_name, EVP_PKEY* key,
                                              absl::Duration lifetime) {
  CertificatePtr certificate(X509_new());
  const BignumPtr serial(BN_new());
  time_t now = absl::ToTimeT(absl::Now());
  X509_NAME* subject = certificate ? X509_get_subject_name(certificate.get()) : nullptr;
  // RFC 5280 4.1.2.2: a positive serial of at most 20 octets.
  const bool ok =
      subject != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      BN_rand(serial.get(), 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
      X509_time_adj_ex(X509_getm_notBefore(certificate.get()), 0, -absl::ToInt64Seconds(kClockSkew),
                       &now) != nullptr &&
      X509_time_adj_ex(X509_getm_notAfter(certificate.get()), 0, absl::ToInt64Seconds(lifetime),
                       &now) != nullptr &&
      X509_set_pubkey(certificate.get(), key) == 1 &&
      X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>("oneai"), -1, -1, 0) == 1 &&
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.c_str()), -1,
                                 -1, 0) == 1;
  if (!ok) return CryptoError("cannot make a certificate");
  return certificate;
}

bool AppendName(GENERAL_NAMES* names, int type, const std::string& text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_STRING* value = nullptr;
  if (type == GEN_IPADD) {
    value = a2i_IPADDRESS(text.c_str());
  } else {
    value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  }
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool IsIpAddress(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

absl::Status AddSubjectAltNames(const CertificateRequest& request, X509* certificate) {
  const GeneralNamesPtr names(GENERAL_NAMES_new());
  bool ok = AppendName(names.get(), GEN_URI,
                       absl::StrCat("spiffe://oneai/", request.kind, "/", request.name));
  for (const std::string& host : request.hosts) {
    ok = ok && AppendName(names.get(), IsIpAddress(host) ? GEN_IPADD : GEN_DNS, host);
  }
  ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0,
                               X509V3_ADD_DEFAULT) == 1;
  return ok ? absl::OkStatus() : CryptoError("cannot name the certificate's subject");
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  });
}

absl::Status Validate(const CertificateRequest& request) {
  if (std::find(std::begin(kKinds), std::end(kKinds), request.kind) == std::end(kKinds)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown certificate kind \"", request.kind, "\""));
  }
  if (!IsName(request.name)) {
    return absl::InvalidArgumentError(absl::StrCat("certificate name \"", request.name,
                                                   "\" must be 1 to 128 of A-Z a-z 0-9 - _ ."));
  }
  for (const std::string& host : request.hosts) {
    if (!IsName(host) && !IsIpAddress(host)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", host, "\" is no host name or IP address"));
    }
  }
  if (request.lifetime <= absl::ZeroDuration() || request.lifetime > kCaLifetime) {
    return absl::InvalidArgumentError("a certificate lives up to ten years");
  }
  return absl::OkStatus();
}

// OK, or why a TLS peer would refuse `certificate`: dates, signature, or not the CA's.
absl::Status VerifySignedBy(X509* certificate, X509* ca) {
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (X509_STORE_add_cert(store.get(), ca) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate, nullptr) != 1) {
    return CryptoError("cannot check a certificate");
  }
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  return absl::InvalidArgumentError(X509_verify_cert_error_string(error));
}

absl::StatusOr<std::string> ReadPem(const std::string& path) { return ReadFile(path, 1 << 20); }

}  // namespace

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create() {
  ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
  ASSIGN_OR_RETURN(const CertificatePtr certificate,
                   NewCertificate("oneai CA", key.get(), kCaLifetime));
  X509* x509 = certificate.get();
  const bool ok = X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
                  AddExtension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                  AddExtension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                  AddExtension(x509, x509, NID_subject_key_identifier, "hash") &&
                  X509_sign(x509, key.get(), EVP_sha256()) > 0;
  if (!ok) return CryptoError("cannot make the certificate authority");
  CertificateAuthority authority;
  ASSIGN_OR_RETURN(authority.certificate_pem_, CertificatePem(x509));
  ASSIGN_OR_RETURN(authority.private_key_pem_, KeyPem(key.get()));
  return authority;
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(const std::string& dir) {
  const std::string certificate_path = dir + "/ca.crt";
  const std::string key_path = dir + "/ca.key";
  CertificateAuthority authority;
  ASSIGN_OR_RETURN(authority.certificate_pem_, ReadPem(certificate_path));
  ASSIGN_OR_RETURN(authority.private_key_pem_, ReadPem(key_path));
  const absl::StatusOr<CertificatePtr> certificate = ParseCertificate(authority.certificate_pem_);
  if (!certificate.ok()) return Annotate(certificate.status(), certificate_path);
  const absl::StatusOr<KeyPtr> key = ParseKey(authority.private_key_pem_);
  if (!key.ok()) return Annotate(key.status(), key_path);
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat(key_path, " does not belong to ", certificate_path));
  }
  return authority;
}

absl::Status CertificateAuthority::Save(const std::string& dir) const {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("cannot make ", dir));
  RETURN_IF_ERROR(WriteFileAtomically(dir + "/ca.key", private_key_pem_, 0600));
  return WriteFileAtomically(dir + "/ca.crt", certificate_pem_, 0644);
}

absl::StatusOr<KeyPair> CertificateAuthority::Issue(const CertificateRequest& request) const {
  RETURN_IF_ERROR(Validate(request));
  ASSIGN_OR_RETURN(const CertificatePtr ca, ParseCertificate(certificate_pem_));
  ASSIGN_OR_RETURN(const KeyPtr ca_key, ParseKey(private_key_pem_));
  ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
  // X.520 bounds the common name at 64; the whole identity is in the URI.
  const std::string common_name = absl::StrCat(request.kind, " ", request.name).substr(0, 64);
  ASSIGN_OR_RETURN(const CertificatePtr certificate,
                   NewCertificate(common_name, key.get(), request.lifetime));
  X509* x509 = certificate.get();
  RETURN_IF_ERROR(AddSubjectAltNames(request, x509));
  const bool ok = X509_set_issuer_name(x509, X509_get_subject_name(ca.get())) == 1 &&
                  AddExtension(x509, ca.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                  AddExtension(x509, ca.get(), NID_key_usage, "critical,digitalSignature") &&
                  AddExtension(x509, ca.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
                  AddExtension(x509, ca.get(), NID_subject_key_identifier, "hash") &&
                  AddExtension(x509, ca.get(), NID_authority_key_identifier, "keyid") &&
                  X509_sign(x509, ca_key.get(), EVP_sha256()) > 0;
  if (!ok) return CryptoError("cannot sign a certificate");
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate_pem, CertificatePem(x509));
  ASSIGN_OR_RETURN(pair.private_key_pem, KeyPem(key.get()));
  return pair;
}

absl::StatusOr<TlsCredentials> LoadTlsCredentials(const TlsFiles& files) {
  TlsCredentials credentials;
  ASSIGN_OR_RETURN(credentials.ca_pem, ReadPem(files.ca));
  ASSIGN_OR_RETURN(credentials.certificate_pem, ReadPem(files.certificate));
  ASSIGN_OR_RETURN(credentials.private_key_pem, ReadPem(files.private_key));
  const absl::StatusOr<CertificatePtr> ca = ParseCertificate(credentials.ca_pem);
  if (!ca.ok()) return Annotate(ca.status(), files.ca);
  const absl::StatusOr<CertificatePtr> certificate = ParseCertificate(credentials.certificate_pem);
  if (!certificate.ok()) return Annotate(certificate.status(), files.certificate);
  const absl::StatusOr<KeyPtr> key = ParseKey(credentials.private_key_pem);
  if (!key.ok()) return Annotate(key.status(), files.private_key);
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat(files.private_key, " does not belong to ", files.certificate));
  }
  const absl::Status verdict = VerifySignedBy(certificate->get(), ca->get());
  if (!verdict.ok()) {
    return Annotate(verdict, absl::StrCat(files.certificate, " is refused by ", files.ca));
  }
  return credentials;
}

}  // namespace oneai
