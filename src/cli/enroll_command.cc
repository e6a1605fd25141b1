// oneai enroll: credentials for a machine, or a pool of machines, that joins the fabric.
#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/auth/pki.h"
#include "base/files/files.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace oneai::cli {
namespace {

namespace fs = std::filesystem;

struct EnrollOptions {
  std::string kind = "node";
  std::string name;
  std::vector<std::string> hosts;
  std::string out;
  int64_t days = 365;
};

absl::Status WriteCredentials(const fs::path& fabric_dir, const EnrollOptions& options) {
  const fs::path pki = fabric_dir / "pki";
  absl::StatusOr<CertificateAuthority> ca = CertificateAuthority::Load(pki.string());
  if (absl::IsNotFound(ca.status())) {
    return absl::NotFoundError(absl::StrCat(
        "no CA in ", pki.string(),
        "; run this on the machine and with the --dir where `oneai up` made the fabric"));
  }
  RETURN_IF_ERROR(ca.status());
  ASSIGN_OR_RETURN(const KeyPair pair, ca->Issue({.kind = options.kind,
                                                  .name = options.name,
                                                  .hosts = options.hosts,
                                                  .lifetime = absl::Hours(24) * options.days}));
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("make folder ", options.out));
  const fs::path out = options.out;
  RETURN_IF_ERROR(WriteFileAtomically(out / "ca.crt", ca->certificate_pem(), 0644));
  RETURN_IF_ERROR(WriteFileAtomically(out / (options.name + ".key"), pair.private_key_pem, 0600));
  return WriteFileAtomically(out / (options.name + ".crt"), pair.certificate_pem, 0644);
}

int Enroll(const CommandContext& context, const EnrollOptions& options) {
  const absl::Status status = WriteCredentials(FabricDir(context.dir), options);
  if (!status.ok()) return Fail(status);
  const std::string base = (fs::path(options.out) / options.name).string();
  std::cout << (options.kind == "pool" ? "oneai-slurm --pool " : "oneai-node --name ")
            << options.name << " --tls-ca " << (fs::path(options.out) / "ca.crt").string()
            << " --tls-cert " << base << ".crt --tls-key " << base
            << ".key --controller HOST:PORT --state-dir DIR\n";
  return kExitOk;
}

}  // namespace

void AddEnrollCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<EnrollOptions>();
  CLI::App* enroll = AddCommand(app, context, "enroll",
                                "make the credentials of a machine or a Slurm cluster that joins",
                                [&context, options] { return Enroll(context, *options); });
  enroll->add_option("name", options->name, "name of the node or pool")->required();
  enroll->add_option("--kind", options->kind, "node: one machine; pool: a Slurm cluster")
      ->check(CLI::IsMember({"node", "pool"}));
  enroll->add_option("--host", options->hosts,
                     "DNS name or address at which others reach it, repeatable");
  enroll->add_option("--out", options->out, "folder for ca.crt, NAME.crt and NAME.key")->required();
  enroll->add_option("--days", options->days, "how long the certificate is valid")
      ->check(CLI::Range(1, 3650));
}

}  // namespace oneai::cli
