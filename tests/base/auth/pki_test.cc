#include "base/auth/pki.h"

#include <sys/stat.h>

#include "base/files/files.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

class PkiTest : public ::testing::Test {
 protected:
  TlsFiles Write(const std::string& ca, const KeyPair& pair) {
    const TlsFiles files{dir_.path() / "x-ca.crt", dir_.path() / "x.crt", dir_.path() / "x.key"};
    EXPECT_OK(WriteFileAtomically(files.ca, ca));
    EXPECT_OK(WriteFileAtomically(files.certificate, pair.certificate_pem));
    EXPECT_OK(WriteFileAtomically(files.private_key, pair.private_key_pem, 0600));
    return files;
  }

  TempDir dir_;
  CertificateAuthority ca_ = CertificateAuthority::Create().value();
  CertificateAuthority other_ca_ = CertificateAuthority::Create().value();
  const CertificateRequest request_{"node", "node-a", {"localhost", "127.0.0.1", "::1"}};
};

TEST_F(PkiTest, SavesAndLoadsTheAuthority) {
  ASSERT_OK(ca_.Save(dir_.path() / "pki"));
  ASSERT_OK_AND_ASSIGN(const CertificateAuthority loaded,
                       CertificateAuthority::Load(dir_.path() / "pki"));
  EXPECT_EQ(loaded.certificate_pem(), ca_.certificate_pem());
  EXPECT_OK(loaded.Issue(request_));
  struct stat info;
  ASSERT_EQ(stat((dir_.path() / "pki/ca.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(PkiTest, LoadRefusesMissingMalformedAndMixedFiles) {
  const std::string dir = dir_.path();
  EXPECT_THAT(CertificateAuthority::Load(dir),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ca.crt")));
  ASSERT_OK(ca_.Save(dir));
  TempDir elsewhere;
  ASSERT_OK(other_ca_.Save(elsewhere.path()));
  std::filesystem::copy_file(elsewhere.path() / "ca.key", dir_.path() / "ca.key",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(CertificateAuthority::Load(dir),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not belong")));
  ASSERT_OK(WriteFileAtomically(dir + "/ca.crt", "garbage"));
  EXPECT_THAT(CertificateAuthority::Load(dir),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ca.crt")));
}

TEST_F(PkiTest, IssuedCredentialsPassTheirOwnCheck) {
  ASSERT_OK_AND_ASSIGN(const KeyPair pair, ca_.Issue(request_));
  ASSERT_OK_AND_ASSIGN(const TlsCredentials loaded,
                       LoadTlsCredentials(Write(ca_.certificate_pem(), pair)));
  EXPECT_EQ(loaded.certificate_pem, pair.certificate_pem);
}

TEST_F(PkiTest, CredentialsThatAPeerWouldRefuseAreNamed) {
  ASSERT_OK_AND_ASSIGN(const KeyPair pair, ca_.Issue(request_));
  ASSERT_OK_AND_ASSIGN(const KeyPair second, ca_.Issue(request_));
  EXPECT_THAT(LoadTlsCredentials(Write(other_ca_.certificate_pem(), pair)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.crt is refused by")));
  EXPECT_THAT(LoadTlsCredentials(
                  Write(ca_.certificate_pem(), {pair.certificate_pem, second.private_key_pem})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.key does not belong to")));
  EXPECT_THAT(
      LoadTlsCredentials(Write(ca_.certificate_pem(), {"junk", pair.private_key_pem})),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.crt: is not a PEM certificate")));
  EXPECT_THAT(LoadTlsCredentials({"/nowhere/ca.crt", "", ""}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/ca.crt")));
}

TEST_F(PkiTest, RefusesNamesThatCouldMeanSomethingElse) {
  for (const char* name : {"", "a/b", "a b", "a\nb", "../x", "a%2fb"}) {
    EXPECT_THAT(ca_.Issue({"node", name, {}}), StatusIs(absl::StatusCode::kInvalidArgument, _))
        << name;
  }
  EXPECT_THAT(ca_.Issue({"root", "a", {}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kind")));
  EXPECT_THAT(ca_.Issue({"node", "a", {"bad host"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(ca_.Issue({"node", "a", {}, absl::ZeroDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

}  // namespace
}  // namespace oneai
