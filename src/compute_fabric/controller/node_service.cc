#include "absl/strings/str_cat.h"
#include "compute_fabric/controller/node_requests.h"
#include "compute_fabric/controller/service_call.h"
#include "compute_fabric/jobs/job_spec.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::fabric {
namespace {

class NodeServiceImpl final : public v1::NodeService::Service {
 public:
  explicit NodeServiceImpl(const ServiceDeps& deps)
      : deps_(deps), requests_(deps.state, deps.hooks) {}

  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kAgent, "node.heartbeat"));
      if (!SpeaksForNode(caller.principal.name(), request->node().name())) {
        return absl::PermissionDeniedError(absl::StrCat(
            "the certificate is of node ", caller.principal.name(), ", but the heartbeat says ",
            request->node().name().substr(0, kNameLengthMax)));
      }
      return Answer(deps_.sessions->Heartbeat(
                        *request, [&] { return context->IsCancelled() || !deps_.gate->is_open(); }),
                    response);
    });
  }
  grpc::Status AppendLog(grpc::ServerContext* context, const v1::AppendLogRequest* request,
                         v1::AppendLogResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kAgent, "node.log"));
      return Answer(deps_.sessions->AppendLog(*request, caller.principal.name()), response);
    });
  }
  grpc::Status ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest*,
                         v1::ListNodesResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kViewFabric, "node.list"));
      for (v1::Node& node : deps_.sessions->List()) {
        HideForeignTasks(caller, node);
        *response->add_nodes() = std::move(node);
      }
      return absl::OkStatus();
    });
  }
  grpc::Status GetNode(grpc::ServerContext* context, const v1::GetNodeRequest* request,
                       v1::Node* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kViewFabric, "node.view"));
      RETURN_IF_ERROR(Answer(deps_.sessions->Get(request->name()), response));
      HideForeignTasks(caller, *response);
      return absl::OkStatus();
    });
  }
  grpc::Status SetNodeSchedulable(grpc::ServerContext* context,
                                  const v1::SetNodeSchedulableRequest* request,
                                  v1::Node* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Answer(deps_.sessions->SetSchedulable(*request, caller), response));
      HideForeignTasks(caller, *response);
      return absl::OkStatus();
    });
  }
  grpc::Status DrainNode(grpc::ServerContext* context, const v1::DrainNodeRequest* request,
                         v1::Node* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(requests_.Drain(*request, caller));
      return AnswerNode(caller, request->name(), *response);
    });
  }
  grpc::Status SetNodeLabels(grpc::ServerContext* context, const v1::SetNodeLabelsRequest* request,
                             v1::Node* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(requests_.SetLabels(*request, caller));
      return AnswerNode(caller, request->name(), *response);
    });
  }
  grpc::Status SetNodeSpare(grpc::ServerContext* context, const v1::SetNodeSpareRequest* request,
                            v1::Node* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(requests_.SetSpare(*request, caller));
      return AnswerNode(caller, request->name(), *response);
    });
  }
  grpc::Status CreateReservation(grpc::ServerContext* context,
                                 const v1::CreateReservationRequest* request,
                                 v1::Reservation* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(requests_.CreateReservation(request->reservation(), caller), response);
    });
  }
  grpc::Status ListReservations(grpc::ServerContext* context, const v1::ListReservationsRequest*,
                                v1::ListReservationsResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(Require(deps_, caller, Permission::kViewFabric, "reservation.list"));
      for (v1::Reservation& reservation : requests_.ListReservations()) {
        *response->add_reservations() = std::move(reservation);
      }
      return absl::OkStatus();
    });
  }
  grpc::Status DeleteReservation(grpc::ServerContext* context,
                                 const v1::DeleteReservationRequest* request,
                                 v1::DeleteReservationResponse*) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return requests_.DeleteReservation(request->name(), caller);
    });
  }

 private:
  absl::Status AnswerNode(const Identity& caller, const std::string& name, v1::Node& response) {
    RETURN_IF_ERROR(Answer(deps_.sessions->Get(name), &response));
    HideForeignTasks(caller, response);
    return absl::OkStatus();
  }

  // Nodes are shared, what runs on them is not: tasks of units that the caller may not view lose
  // their names, not their use of the node.
  void HideForeignTasks(const Identity& caller, v1::Node& node) const {
    std::vector<std::string> visible;
    for (const std::string& task : node.task_names()) {
      const JobRecord job = deps_.state->jobs().Find(task.substr(0, task.find('/')));
      if (job.value == nullptr) continue;
      const absl::string_view unit = BusinessUnitOf(job.value->spec().project());
      if (CheckPermission(caller, Permission::kViewFabric, unit).ok()) visible.push_back(task);
    }
    node.mutable_task_names()->Assign(visible.begin(), visible.end());
  }

  const ServiceDeps deps_;
  NodeRequests requests_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewNodeService(const ServiceDeps& deps) {
  return std::make_unique<NodeServiceImpl>(deps);
}

}  // namespace oneai::fabric
