// oneai data ..., oneai audit ...
#include <google/protobuf/util/time_util.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "oneai/data/v1/data.grpc.pb.h"

namespace oneai::cli {
namespace {

using data::v1::DataService;
using data::v1::DatasetVersion;

constexpr size_t kUploadChunkBytes = 256 << 10;

struct RegisterFlags {
  data::v1::DatasetHeader header;
  std::string name;
  std::string description;
  std::string classification = "internal";
  std::vector<std::string> purposes;
  std::string origin;
  std::string license;
  std::vector<std::string> files;
};

absl::StatusOr<data::v1::DatasetHeader> MakeHeader(const RegisterFlags& flags) {
  data::v1::DatasetHeader header;
  header.set_name(flags.name);
  header.set_description(flags.description);
  data::v1::Classification classification;
  if (!data::v1::Classification_Parse(absl::AsciiStrToUpper(flags.classification),
                                      &classification)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--classification ", flags.classification,
                     ": choose public, internal, confidential or restricted"));
  }
  header.set_classification(classification);
  for (const std::string& purpose : flags.purposes) header.add_allowed_purposes(purpose);
  header.set_origin(flags.origin);
  header.set_license(flags.license);
  for (const std::string& file : flags.files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error)
      return absl::NotFoundError(absl::StrCat("cannot read ", file, ": ", error.message()));
    data::v1::DatasetFile& entry = *header.add_files();
    entry.set_path(std::filesystem::path(file).filename().string());
    entry.set_size_bytes(static_cast<int64_t>(size));
  }
  return header;
}

// Streams header and contents. The server's own error explains a broken stream better than the
// failed write.
absl::StatusOr<DatasetVersion> Upload(const Session& session, const data::v1::DatasetHeader& header,
                                      const std::vector<std::string>& files) {
  const auto stub = DataService::NewStub(session.controller());
  grpc::ClientContext context;
  PrepareContext(context, absl::Minutes(30), session.token());
  DatasetVersion version;
  const auto writer = stub->RegisterDataset(&context, &version);
  data::v1::RegisterDatasetRequest message;
  *message.mutable_header() = header;
  bool open = writer->Write(message);
  std::string buffer(kUploadChunkBytes, '\0');
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    while (open && stream) {
      stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
      if (stream.gcount() == 0) break;
      message.set_data(buffer.data(), static_cast<size_t>(stream.gcount()));
      open = writer->Write(message);
    }
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return session.Explain(FromGrpcStatus(status));
  return version;
}

void PrintDataset(const DatasetVersion& version) {
  const data::v1::DatasetHeader& header = version.header();
  std::cout << "name:           " << Printable(header.name()) << "@" << version.version()
            << "\nowner:          " << Printable(version.owner().name()) << " ("
            << Printable(version.owner().business_unit()) << ")"
            << "\nclassification: " << data::v1::Classification_Name(header.classification())
            << "\npurposes:       " << absl::StrJoin(header.allowed_purposes(), ", ")
            << "\norigin:         " << Printable(header.origin())
            << "\nlicense:        " << Printable(header.license())
            << "\nsha256:         " << version.sha256() << "\n";
  for (const data::v1::DatasetFile& file : header.files()) {
    std::cout << "file:           " << Printable(file.path()) << ", "
              << HumanBytes(file.size_bytes()) << "\n";
  }
  if (version.pii_size() == 0) std::cout << "personal data:  none found at intake\n";
  for (const data::v1::PiiFinding& finding : version.pii()) {
    std::cout << "personal data:  " << finding.count() << " x " << finding.kind() << ", such as "
              << Printable(finding.example()) << "\n";
  }
}

int Register(const CommandContext& context, const RegisterFlags& flags) {
  const absl::StatusOr<data::v1::DatasetHeader> header = MakeHeader(flags);
  if (!header.ok()) return Fail(header.status());
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const absl::StatusOr<DatasetVersion> version = Upload(*session, *header, flags.files);
  if (!version.ok()) return Fail(version.status());
  if (context.json()) {
    std::cout << ToJson(*version);
  } else {
    PrintDataset(*version);
  }
  return kExitOk;
}

int List(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto datasets =
      session->Call<DataService>(&DataService::Stub::ListDatasets, data::v1::ListDatasetsRequest());
  if (!datasets.ok()) return Fail(datasets.status());
  if (context.json()) {
    std::cout << ToJson(*datasets);
    return kExitOk;
  }
  Table table({"NAME", "VERSION", "CLASS", "PURPOSES", "PII", "AGE"});
  for (const DatasetVersion& version : datasets->datasets()) {
    table.Add({version.header().name(), absl::StrCat(version.version()),
               data::v1::Classification_Name(version.header().classification()),
               absl::StrJoin(version.header().allowed_purposes(), ","),
               absl::StrCat(version.pii_size()), Age(version.created(), absl::Now())});
  }
  std::cout << table.ToString();
  return kExitOk;
}

int Get(const CommandContext& context, const std::string& ref) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  data::v1::GetDatasetRequest request;
  request.set_ref(ref);
  const auto version = session->Call<DataService>(&DataService::Stub::GetDataset, request);
  if (!version.ok()) return Fail(version.status());
  if (context.json()) {
    std::cout << ToJson(*version);
  } else {
    PrintDataset(*version);
  }
  return kExitOk;
}

int Check(const CommandContext& context, const std::string& ref, const std::string& purpose) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  data::v1::CheckAccessRequest request;
  request.set_dataset(ref);
  request.set_purpose(purpose);
  const auto decision = session->Call<DataService>(&DataService::Stub::CheckAccess, request);
  if (!decision.ok()) return Fail(decision.status());
  if (context.json()) {
    std::cout << ToJson(*decision);
  } else {
    std::cout << (decision->allowed() ? "allowed: " : "forbidden: ")
              << Printable(decision->explanation()) << "\n";
  }
  return decision->allowed() ? kExitOk : kExitForbidden;
}

int Rules(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto rules =
      session->Call<DataService>(&DataService::Stub::ListRules, data::v1::ListRulesRequest());
  if (!rules.ok()) return Fail(rules.status());
  if (context.json()) {
    std::cout << ToJson(*rules);
    return kExitOk;
  }
  Table table({"ID", "EFFECT", "DATASETS", "UNITS", "PURPOSES", "REASON"});
  const auto any = [](const auto& list) {
    return list.empty() ? std::string("any") : absl::StrJoin(list, ",");
  };
  for (const data::v1::PolicyRule& rule : rules->rules()) {
    table.Add({rule.id(), data::v1::PolicyRule::Effect_Name(rule.effect()), any(rule.datasets()),
               rule.same_unit_only() ? "owner's" : any(rule.business_units()), any(rule.purposes()),
               rule.reason()});
  }
  std::cout << table.ToString();
  return kExitOk;
}

void AddRule(CLI::App& data, CommandContext& context) {
  struct Flags {
    std::string id, effect, reason;
    std::vector<std::string> datasets, units, purposes;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* put =
      AddCommand(data, context, "rule", "add or replace a policy rule", [&context, flags] {
        const absl::StatusOr<Session> session = context.Open();
        if (!session.ok()) return Fail(session.status());
        data::v1::PutRuleRequest request;
        data::v1::PolicyRule& rule = *request.mutable_rule();
        rule.set_id(flags->id);
        rule.set_effect(flags->effect == "permit" ? data::v1::PolicyRule::PERMIT
                                                  : data::v1::PolicyRule::FORBID);
        rule.set_reason(flags->reason);
        for (const std::string& dataset : flags->datasets) rule.add_datasets(dataset);
        for (const std::string& unit : flags->units) rule.add_business_units(unit);
        for (const std::string& purpose : flags->purposes) rule.add_purposes(purpose);
        const auto answer = session->Call<DataService>(&DataService::Stub::PutRule, request);
        if (!answer.ok()) return Fail(answer.status());
        if (context.json()) {
          std::cout << ToJson(*answer);
          return static_cast<int>(kExitOk);
        }
        std::cout << "rule " << flags->id << " is in force\n";
        return static_cast<int>(kExitOk);
      });
  put->add_option("id", flags->id, "name of the rule")->required();
  put->add_option("--effect", flags->effect, "permit or forbid")
      ->required()
      ->check(CLI::IsMember({"permit", "forbid"}));
  put->add_option("--dataset", flags->datasets, "datasets, may end with * (default: any)");
  put->add_option("--unit", flags->units, "readers' business units (default: any)");
  put->add_option("--purpose", flags->purposes, "purposes (default: any)");
  put->add_option("--reason", flags->reason, "shown to whoever is refused");
}

int QueryAudit(const CommandContext& context, const data::v1::QueryAuditRequest& request) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto audit = session->Call<DataService>(&DataService::Stub::QueryAudit, request);
  if (!audit.ok()) return Fail(audit.status());
  if (context.json()) {
    std::cout << ToJson(*audit);
    return kExitOk;
  }
  Table table({"SEQ", "TIME", "WHO", "FOR", "ACTION", "RESOURCE", "PURPOSE", "ALLOWED", "DETAIL"});
  for (const data::v1::AuditRecord& record : audit->records()) {
    table.Add({absl::StrCat(record.sequence()),
               google::protobuf::util::TimeUtil::ToString(record.time()), record.principal().name(),
               record.principal().on_behalf_of(), record.action(), record.resource(),
               record.purpose(), record.allowed() ? "yes" : "NO", record.detail()});
  }
  std::cout << table.ToString();
  return kExitOk;
}

int VerifyAudit(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto result = session->Call<DataService>(&DataService::Stub::VerifyAudit,
                                                 data::v1::VerifyAuditRequest(), absl::Minutes(5));
  if (!result.ok()) return Fail(result.status());
  if (context.json()) {
    std::cout << ToJson(*result);
  } else if (result->intact()) {
    std::cout << "intact: " << result->num_records() << " records, head "
              << absl::BytesToHexString(result->head_hash()) << "\n";
  } else {
    std::cout << "BROKEN at record " << result->first_bad_sequence() << ": "
              << Printable(result->explanation()) << "\n";
  }
  return result->intact() ? kExitOk : kExitFailure;
}

void AddAudit(CLI::App& app, CommandContext& context) {
  CLI::App& audit = *app.add_subcommand("audit", "who did what, for which purpose");
  audit.require_subcommand(1);
  struct Flags {
    std::string resource, principal, action;
    int limit = 50;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* query = AddCommand(audit, context, "query", "newest records first", [&context, flags] {
    data::v1::QueryAuditRequest request;
    request.set_resource(flags->resource);
    request.set_principal(flags->principal);
    request.set_action(flags->action);
    request.set_limit(flags->limit);
    return QueryAudit(context, request);
  });
  query->add_option("--resource", flags->resource, "dataset@version, job id, ...");
  query->add_option("--principal", flags->principal, "who");
  query->add_option("--action", flags->action, "dataset.open, job.submit, ...");
  query->add_option("--limit", flags->limit, "at most so many")->check(CLI::Range(1, 1000));
  AddCommand(audit, context, "verify", "recompute the hash chain",
             [&context] { return VerifyAudit(context); });
}

}  // namespace

void AddDataCommands(CLI::App& app, CommandContext& context) {
  CLI::App& data = *app.add_subcommand("data", "the data catalog and its policy");
  data.require_subcommand(1);
  auto flags = std::make_shared<RegisterFlags>();
  CLI::App* reg =
      AddCommand(data, context, "register",
                 "register files as a new version of a dataset; scans for personal data",
                 [&context, flags] { return Register(context, *flags); });
  reg->add_option("name", flags->name, "<business unit>/<dataset>")->required();
  reg->add_option("files", flags->files, "files")->required();
  reg->add_option("--classification", flags->classification,
                  "public, internal, confidential or restricted");
  reg->add_option("--purpose", flags->purposes, "purposes it may be used for")->required();
  reg->add_option("--description", flags->description, "what it is");
  reg->add_option("--origin", flags->origin, "where it comes from");
  reg->add_option("--license", flags->license, "its licence");

  AddCommand(data, context, "list", "all datasets", [&context] { return List(context); });
  auto ref = std::make_shared<std::string>();
  auto purpose = std::make_shared<std::string>();
  AddCommand(data, context, "get", "one dataset", [&context, ref] { return Get(context, *ref); })
      ->add_option("ref", *ref, "name or name@version")
      ->required();
  CLI::App* check =
      AddCommand(data, context, "check", "may I read this for that purpose, and which rule says so",
                 [&context, ref, purpose] { return Check(context, *ref, *purpose); });
  check->add_option("ref", *ref, "name or name@version")->required();
  check->add_option("--purpose", *purpose, "purpose")->required();
  AddCommand(data, context, "rules", "the policy rules in force",
             [&context] { return Rules(context); });
  AddRule(data, context);
  AddAudit(app, context);
}

}  // namespace oneai::cli
