#include "serving/replica/adapter_service.h"

#include "absl/strings/str_cat.h"
#include "base/grpc/authenticator.h"
#include "base/grpc/status.h"
#include "base/log/log.h"
#include "base/status.h"

namespace oneai::serving {
namespace {

// What a replica serves is its controller's decision.
absl::Status CheckCaller(const grpc::ServerContext& context) {
  ASSIGN_OR_RETURN(const PeerName peer, PeerNameOf(context));
  if (peer.kind == "controller" || (peer.kind == "user" && peer.name == "admin"))
    return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("a certificate of kind ", peer.kind,
                   " may not change a replica's adapters; use `oneai endpoint adapter`"));
}

absl::Status Unload(Engine& engine, AdapterNames& names, const std::string& name) {
  const std::optional<int32_t> id = names.Remove(name);
  if (!id.has_value())
    return absl::NotFoundError(absl::StrCat("no adapter ", name.substr(0, 64), " is loaded"));
  Log::Info("adapter is not given to new requests", {{"adapter", name}});
  RETURN_IF_ERROR(engine.UnloadAdapter(*id));
  Log::Info("adapter unloaded", {{"adapter", name}});
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadNamedAdapter(Engine& engine, AdapterNames names, const std::string& name,
                              const std::filesystem::path& folder) {
  RETURN_IF_ERROR(names.Reserve(name));
  const absl::StatusOr<int32_t> id = engine.LoadAdapter(folder);
  if (!id.ok()) {
    names.GiveUp(name);
    return Annotate(id.status(), absl::StrCat("adapter ", name));
  }
  names.Add({name, folder.string(), *id});
  Log::Info("adapter loaded", {{"adapter", name}, {"folder", folder.string()}});
  return absl::OkStatus();
}

grpc::Status AdapterService::LoadAdapter(grpc::ServerContext* context,
                                         const v1::LoadAdapterRequest* request,
                                         v1::AdapterCard* response) {
  absl::Status status = CheckCaller(*context);
  const v1::AdapterCard& adapter = request->adapter();
  if (status.ok()) status = LoadNamedAdapter(*engine_, names_, adapter.name(), adapter.folder());
  if (status.ok()) *response = adapter;
  return ToGrpcStatus(status);
}

grpc::Status AdapterService::UnloadAdapter(grpc::ServerContext* context,
                                           const v1::UnloadAdapterRequest* request,
                                           v1::UnloadAdapterResponse*) {
  absl::Status status = CheckCaller(*context);
  if (status.ok()) status = Unload(*engine_, names_, request->name());
  return ToGrpcStatus(status);
}

grpc::Status AdapterService::ListAdapters(grpc::ServerContext* context,
                                          const v1::ListAdaptersRequest*,
                                          v1::ListAdaptersResponse* response) {
  const absl::Status status = CheckCaller(*context);
  if (status.ok()) {
    for (const NamedAdapter& adapter : names_.List()) {
      v1::AdapterCard* card = response->add_adapters();
      card->set_name(adapter.name);
      card->set_folder(adapter.folder);
    }
  }
  return ToGrpcStatus(status);
}

}  // namespace oneai::serving
