// oneai model ...
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "oneai/registry/v1/registry.grpc.pb.h"

namespace oneai::cli {
namespace {

using registry::v1::ModelVersion;
using registry::v1::RegistryService;

void PrintModel(const ModelVersion& model) {
  std::cout << "name:         " << Printable(model.name()) << "@" << model.version()
            << "\narchitecture: " << Printable(model.architecture()) << ", "
            << model.num_parameters() << " parameters"
            << "\nsha256:       " << model.sha256() << "\npath:         " << Printable(model.path())
            << "\naliases:      " << absl::StrJoin(model.aliases(), ", ")
            << "\njob:          " << model.lineage().job_id()
            << "\ncode:         " << Printable(model.lineage().code_revision()) << "\n";
  for (const registry::v1::DatasetRef& data : model.lineage().datasets()) {
    std::cout << "data:         " << Printable(data.name()) << "@" << data.version() << " sha256 "
              << data.sha256() << "\n";
  }
  for (const registry::v1::Evaluation& evaluation : model.evaluations()) {
    std::cout << "evaluation:   " << Printable(evaluation.task()) << " by " << evaluation.job_id();
    for (const auto& [name, value] : evaluation.metrics())
      std::cout << "  " << Printable(name) << " " << absl::StrFormat("%.4g", value);
    std::cout << "\n";
  }
  for (const registry::v1::FileEntry& file : model.files()) {
    std::cout << "file:         " << Printable(file.path()) << ", " << HumanBytes(file.size_bytes())
              << "\n";
  }
}

int List(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto models = session->Call<RegistryService>(&RegistryService::Stub::ListModels,
                                                     registry::v1::ListModelsRequest());
  if (!models.ok()) return Fail(models.status());
  if (context.json()) {
    std::cout << ToJson(*models);
    return kExitOk;
  }
  Table table({"NAME", "VERSION", "ARCHITECTURE", "PARAMETERS", "ALIASES", "EVALUATIONS", "AGE"});
  for (const ModelVersion& model : models->models()) {
    table.Add({model.name(), absl::StrCat(model.version()), model.architecture(),
               absl::StrCat(model.num_parameters()), absl::StrJoin(model.aliases(), ","),
               absl::StrCat(model.evaluations_size()), Age(model.created(), absl::Now())});
  }
  std::cout << table.ToString();
  return kExitOk;
}

template <typename Request>
int OneModel(const CommandContext& context, const Request& request,
             grpc::Status (RegistryService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                           ModelVersion*)) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto model = session->Call<RegistryService>(method, request, absl::Minutes(10));
  if (!model.ok()) return Fail(model.status());
  if (context.json()) {
    std::cout << ToJson(*model);
  } else {
    PrintModel(*model);
  }
  return kExitOk;
}

}  // namespace

void AddModelCommands(CLI::App& app, CommandContext& context) {
  CLI::App& model = *app.add_subcommand("model", "the model registry, and files of models");
  model.require_subcommand(1);
  AddCommand(model, context, "list", "all models", [&context] { return List(context); });
  auto ref = std::make_shared<std::string>();
  auto other = std::make_shared<std::string>();
  AddCommand(model, context, "get", "one version with lineage, evaluations and files",
             [&context, ref] {
               registry::v1::GetModelRequest request;
               request.set_ref(*ref);
               return OneModel(context, request, &RegistryService::Stub::GetModel);
             })
      ->add_option("ref", *ref, "name, name@version or name@alias")
      ->required();
  CLI::App* alias = AddCommand(
      model, context, "alias", "give a version a name such as champion", [&context, ref, other] {
        registry::v1::SetAliasRequest request;
        request.set_ref(*ref);
        request.set_alias(*other);
        return OneModel(context, request, &RegistryService::Stub::SetAlias);
      });
  alias->add_option("ref", *ref, "name@version")->required();
  alias->add_option("alias", *other, "letters, digits, - and _")->required();
  CLI::App* reg =
      AddCommand(model, context, "register", "register a checkpoint folder of a job's artifacts",
                 [&context, ref, other] {
                   registry::v1::RegisterModelRequest request;
                   request.set_name(*ref);
                   request.set_source_dir(*other);
                   return OneModel(context, request, &RegistryService::Stub::RegisterModel);
                 });
  reg->add_option("name", *ref, "<business unit>/<model>")->required();
  reg->add_option("source", *other, "<job id>/<checkpoint>, below the artifact folder")->required();
  AddModelFilesCommands(model, context);
}

}  // namespace oneai::cli
