#include "cli/session.h"

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/files/files.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace oneai::cli {

std::filesystem::path FabricDir(const std::string& flag) {
  if (!flag.empty()) return std::filesystem::absolute(flag);
  if (const char* dir = std::getenv("ONEAI_FABRIC_DIR"); dir != nullptr && *dir != '\0') return dir;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data != '\0') {
    return std::filesystem::path(data) / "oneai" / "default";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : "/") / ".local" / "share" / "oneai" /
         "default";
}

absl::StatusOr<ClientConfig> ReadClientConfig(const std::filesystem::path& fabric_dir) {
  const std::filesystem::path path = fabric_dir / "client.json";
  absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        absl::StrCat("there is no fabric in ", fabric_dir.string(),
                     ": start one with `oneai up`, or name its folder with --dir"));
  }
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(*text, path.string()));
  ConfigReader reader(document);
  ClientConfig config;
  reader.Required("controller", config.controller);
  reader.Required("web", config.web);
  reader.Required("gateway_grpc", config.gateway_grpc);
  reader.Required("gateway_http", config.gateway_http);
  reader.Required("ca", config.tls.ca);
  reader.Required("certificate", config.tls.certificate);
  reader.Required("private_key", config.tls.private_key);
  reader.Required("token_file", config.token_file);
  RETURN_IF_ERROR(reader.Finish());
  return config;
}

absl::Status WriteClientConfig(const std::filesystem::path& fabric_dir,
                               const ClientConfig& config) {
  const nlohmann::ordered_json json = {{"controller", config.controller},
                                       {"web", config.web},
                                       {"gateway_grpc", config.gateway_grpc},
                                       {"gateway_http", config.gateway_http},
                                       {"ca", config.tls.ca},
                                       {"certificate", config.tls.certificate},
                                       {"private_key", config.tls.private_key},
                                       {"token_file", config.token_file}};
  return WriteFileAtomically(fabric_dir / "client.json", json.dump(2) + "\n", 0600);
}

absl::StatusOr<Session> Session::Open(const std::filesystem::path& fabric_dir,
                                      const std::string& token_file) {
  Session session;
  ASSIGN_OR_RETURN(session.config_, ReadClientConfig(fabric_dir));
  ASSIGN_OR_RETURN(session.tls_, LoadTlsCredentials(session.config_.tls));
  const std::string& path = token_file.empty() ? session.config_.token_file : token_file;
  absl::StatusOr<std::string> token = ReadFile(path);
  RETURN_IF_ERROR(Annotate(token.status(), "reading the token"));
  session.token_ = std::string(absl::StripAsciiWhitespace(*token));
  session.controller_ = NewChannel(session.config_.controller, session.tls_);
  return session;
}

absl::Status Session::Explain(absl::Status status) const {
  if (absl::IsUnavailable(status)) {
    return Annotate(std::move(status),
                    absl::StrCat("the controller at ", config_.controller,
                                 " does not answer (is the fabric up? `oneai status`)"));
  }
  return status;
}

}  // namespace oneai::cli
