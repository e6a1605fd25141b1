// Every RPC of the controller as every kind of caller, against the table of who may.
#include <google/protobuf/descriptor.h>

#include <functional>
#include <set>

#include "tests/controller/control_plane_fixture.h"

namespace oneai {
namespace {

using auth::v1::AuthService;
using data::v1::DataService;
using fabric::v1::EndpointService;
using fabric::v1::JobService;
using fabric::v1::NodeService;
using fabric::v1::QueueService;
using registry::v1::RegistryService;
using ::testing::HasSubstr;
using testing::StatusIs;

using Channel = std::shared_ptr<grpc::Channel>;

struct Caller {
  char letter;
  std::string name;
  Channel channel;
  std::string token;
};

// What an RPC leaves in the audit log when it succeeds.
enum class Trace { kAudited, kSilent };

struct Row {
  std::string rpc;
  // One letter a caller, in the order of Callers(); "." must be refused with PERMISSION_DENIED.
  std::string allowed;
  Trace trace;
  std::function<absl::Status(const Caller& caller)> call;
};

// Roles in the object's own unit, in another, in every unit; then certificates: a job of the unit,
// a job of another, a node, the gateway, a controller.
constexpr char kLegend[] = "VEDTSAI vedtsai XYZ JKNGC";

class AccessMatrixTest : public testing::ControlPlaneFixture {
 protected:
  void SetUp() override {
    for (const char letter : absl::string_view(kLegend))
      AddEndpoint(absl::StrCat("shop-", std::string(1, letter)));
    AddEndpoint("shop-?");
    ControlPlaneFixture::SetUp();
    JoinNode("node-a");
    root_ = Token("root", "", auth::v1::ADMIN, "*");
    job_ = Submit("retail/nlp", root_).id();
    victim_ = Submit("retail/nlp", root_).id();
    foreign_job_ = Submit("bank/risk", root_).id();
    RegisterCorpus();
  }

  void RegisterCorpus() { ASSERT_OK(UploadCorpus({'Z', "root", ChannelAs("user", "cli"), root_})); }

  absl::Status UploadCorpus(const Caller& caller) {
    grpc::ClientContext context;
    PrepareContext(context, absl::Seconds(30), caller.token);
    data::v1::DatasetVersion version;
    const auto stub = DataService::NewStub(caller.channel);
    const auto writer = stub->RegisterDataset(&context, &version);
    data::v1::RegisterDatasetRequest message;
    data::v1::DatasetHeader& header = *message.mutable_header();
    header.set_name("retail/corpus");
    header.set_classification(data::v1::INTERNAL);
    header.add_allowed_purposes("evaluation");
    data::v1::DatasetFile& file = *header.add_files();
    file.set_path("a.txt");
    file.set_size_bytes(5);
    writer->Write(message);
    message.set_data("hello");
    writer->Write(message);
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  }

  // A maintenance window of its own in a far year for each letter.
  absl::Status ReserveFor(const std::string& prefix, char letter, const Caller& caller) {
    fabric::v1::CreateReservationRequest request;
    fabric::v1::Reservation& reservation = *request.mutable_reservation();
    reservation.set_name(absl::StrCat(prefix, std::string(1, letter)));
    reservation.set_kind(fabric::v1::MAINTENANCE);
    reservation.add_nodes("node-a");
    const absl::Time start =
        clock_.Now() + absl::Hours(24 * (1000 + 10 * letter + (prefix == "made-" ? 5 : 0)));
    reservation.set_start_unix_ms(absl::ToUnixMillis(start));
    reservation.set_end_unix_ms(absl::ToUnixMillis(start + absl::Hours(1)));
    fabric::v1::Reservation ignored;
    return CallOver<NodeService>(caller.channel, &NodeService::Stub::CreateReservation, request,
                                 caller.token, &ignored);
  }

  std::vector<Caller> Callers() {
    const Channel person = ChannelAs("user", "cli");
    const std::vector<auth::v1::Role> roles = {
        auth::v1::VIEWER, auth::v1::ENGINEER, auth::v1::DEPLOYER, auth::v1::STEWARD,
        auth::v1::SRE,    auth::v1::ADMIN,    auth::v1::INFERENCE};
    std::vector<Caller> callers;
    for (const std::string unit : {"retail", "bank"}) {
      for (size_t i = 0; i < roles.size(); ++i) {
        const std::string name = absl::StrCat(auth::v1::Role_Name(roles[i]), "@", unit);
        callers.push_back({(unit == "retail" ? "VEDTSAI" : "vedtsai")[i], name, person,
                           Token(name, unit, roles[i], unit)});
      }
    }
    callers.push_back({'X', "SRE@*", person, Token("x", "ops", auth::v1::SRE, "*")});
    callers.push_back({'Y', "STEWARD@*", person, Token("y", "ops", auth::v1::STEWARD, "*")});
    callers.push_back({'Z', "ADMIN@*", person, root_});
    callers.push_back({'J', "job of the unit", ChannelAs("job", job_), ""});
    callers.push_back({'K', "job of another unit", ChannelAs("job", foreign_job_), ""});
    callers.push_back({'N', "node", ChannelAs("node", "node-a"), ""});
    callers.push_back({'G', "gateway", ChannelAs("gateway", "gateway"), ""});
    callers.push_back({'C', "controller", ChannelAs("controller", "c2"), ""});
    return callers;
  }

  // A row of one unary call with this request.
  template <typename Service, typename Request, typename Response>
  Row Unary(std::string rpc, std::string allowed, Trace trace,
            grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            std::function<void(Request&)> fill = nullptr) {
    return {std::move(rpc), std::move(allowed), trace, [this, method, fill](const Caller& caller) {
              Request request;
              if (fill) fill(request);
              Response ignored;
              return CallOver<Service>(caller.channel, method, request, caller.token, &ignored);
            }};
  }

  // A row of one stream of answers; the first one is enough.
  template <typename Service, typename Request, typename Response>
  Row Stream(std::string rpc, std::string allowed,
             std::unique_ptr<grpc::ClientReader<Response>> (Service::Stub::*method)(
                 grpc::ClientContext*, const Request&),
             std::function<void(Request&)> fill = nullptr) {
    return {std::move(rpc), std::move(allowed), Trace::kSilent,
            [method, fill](const Caller& caller) {
              Request request;
              if (fill) fill(request);
              grpc::ClientContext context;
              PrepareContext(context, absl::Seconds(30), caller.token);
              const auto stub = Service::NewStub(caller.channel);
              const auto reader = ((*stub).*method)(&context, request);
              Response response;
              const bool answered = reader->Read(&response);
              if (answered) context.TryCancel();  // a refusal must come as the server says it
              const grpc::Status status = reader->Finish();
              return answered ? absl::OkStatus() : FromGrpcStatus(status);
            }};
  }

  std::vector<Row> Rows() {
    std::vector<Row> rows = JobRows();
    for (auto part : {FabricRows(), DataRows(), AuthRows(), RegistryRows()})
      rows.insert(rows.end(), part.begin(), part.end());
    return rows;
  }

  std::vector<Row> JobRows();
  std::vector<Row> FabricRows();
  std::vector<Row> DataRows();
  std::vector<Row> AuthRows();
  std::vector<Row> RegistryRows();
  absl::Status OpenAndRead(const Caller& caller);

  data::v1::AuditRecord NewestAudit() {
    data::v1::QueryAuditRequest request;
    request.set_limit(1);
    const auto newest = audit_->Query(request);
    return newest.ok() && newest->records_size() > 0 ? newest->records(0) : data::v1::AuditRecord();
  }

  std::string root_, job_, victim_, foreign_job_;
};

std::vector<Row> AccessMatrixTest::JobRows() {
  namespace v1 = fabric::v1;
  const auto of_job = [this](auto& request) { request.set_job_id(job_); };
  return {
      Unary<JobService, v1::SubmitJobRequest>(
          "SubmitJob", ".E...A. ....... ..Z .....", Trace::kAudited, &JobService::Stub::SubmitJob,
          [this](v1::SubmitJobRequest& request) {
            request.set_request_id(absl::StrCat("matrix-", ++num_requests_));
            *request.mutable_spec() = Spec("retail/nlp");
          }),
      Unary<JobService, v1::PlanJobRequest>(
          "PlanJob", ".E...A. ....... ..Z .....", Trace::kSilent, &JobService::Stub::PlanJob,
          [](v1::PlanJobRequest& request) { *request.mutable_spec() = Spec("retail/nlp"); }),
      Unary<JobService, v1::GetJobRequest>(
          "GetJob", "VEDTSA. ....... XYZ J.NGC", Trace::kSilent, &JobService::Stub::GetJob,
          [this](v1::GetJobRequest& request) { request.set_id(job_); }),
      Unary<JobService, v1::GetJobRequest>(
          "ExplainJob", "VEDTSA. ....... XYZ J.NGC", Trace::kSilent, &JobService::Stub::ExplainJob,
          [this](v1::GetJobRequest& request) { request.set_id(job_); }),
      // Lists are open to everybody who is authenticated and hold what each may view.
      Unary<JobService, v1::ListJobsRequest>("ListJobs", "VEDTSAI vedtsai XYZ JKNGC",
                                             Trace::kSilent, &JobService::Stub::ListJobs),
      Unary<JobService, v1::CancelJobRequest>(
          "CancelJob", ".E..SA. ....... X.Z .....", Trace::kAudited, &JobService::Stub::CancelJob,
          [this](v1::CancelJobRequest& request) { request.set_id(victim_); }),
      Unary<JobService, v1::RetryJobRequest>(
          "RetryJob", ".E...A. ....... ..Z .....", Trace::kSilent, &JobService::Stub::RetryJob,
          [this](v1::RetryJobRequest& request) { request.set_id(victim_); }),
      Stream<JobService, v1::WatchJobsRequest>(
          "WatchJobs", "VEDTSA. ....... XYZ J.NGC", &JobService::Stub::WatchJobs,
          [this](v1::WatchJobsRequest& request) { request.add_ids(job_); }),
      Stream<JobService, v1::ReadLogRequest>("ReadLog", "VEDTSA. ....... XYZ J.NGC",
                                             &JobService::Stub::ReadLog, of_job),
      Unary<JobService, v1::GetMetricsRequest>("GetMetrics", "VEDTSA. ....... XYZ J.NGC",
                                               Trace::kSilent, &JobService::Stub::GetMetrics,
                                               of_job),
      Unary<JobService, v1::ListEventsRequest>("ListEvents", "VEDTSAI vedtsai XYZ JKNGC",
                                               Trace::kSilent, &JobService::Stub::ListEvents),
  };
}

std::vector<Row> AccessMatrixTest::FabricRows() {
  namespace v1 = fabric::v1;
  return {
      Unary<NodeService, v1::HeartbeatRequest>(
          "Heartbeat", "....... ....... ... ..N..", Trace::kSilent, &NodeService::Stub::Heartbeat,
          [](v1::HeartbeatRequest& request) { request.mutable_node()->set_name("node-a"); }),
      Unary<NodeService, v1::AppendLogRequest>("AppendLog", "....... ....... ... ..N..",
                                               Trace::kSilent, &NodeService::Stub::AppendLog),
      Unary<NodeService, v1::ListNodesRequest>("ListNodes", "VEDTSA. vedtsa. XYZ JKNGC",
                                               Trace::kSilent, &NodeService::Stub::ListNodes),
      Unary<NodeService, v1::GetNodeRequest>(
          "GetNode", "VEDTSA. vedtsa. XYZ JKNGC", Trace::kSilent, &NodeService::Stub::GetNode,
          [](v1::GetNodeRequest& request) { request.set_name("node-a"); }),
      // Nodes are the whole fabric's.
      Unary<NodeService, v1::DrainNodeRequest>(
          "DrainNode", "....... ....... X.Z .....", Trace::kAudited, &NodeService::Stub::DrainNode,
          [](v1::DrainNodeRequest& request) { request.set_name("node-a"); }),
      Unary<NodeService, v1::SetNodeLabelsRequest>("SetNodeLabels", "....... ....... X.Z .....",
                                                   Trace::kAudited,
                                                   &NodeService::Stub::SetNodeLabels,
                                                   [](v1::SetNodeLabelsRequest& request) {
                                                     request.set_name("node-a");
                                                     (*request.mutable_set())["rack"] = "r1";
                                                   }),
      Unary<NodeService, v1::SetNodeSpareRequest>(
          "SetNodeSpare", "....... ....... X.Z .....", Trace::kAudited,
          &NodeService::Stub::SetNodeSpare,
          [](v1::SetNodeSpareRequest& request) { request.set_name("node-a"); }),
      {"CreateReservation", "....... ....... X.Z .....", Trace::kAudited,
       [this](const Caller& caller) { return ReserveFor("made-", caller.letter, caller); }},
      Unary<NodeService, v1::ListReservationsRequest>("ListReservations",
                                                      "VEDTSA. vedtsa. XYZ JKNGC", Trace::kSilent,
                                                      &NodeService::Stub::ListReservations),
      {"DeleteReservation", "....... ....... X.Z .....", Trace::kAudited,
       [this](const Caller& caller) {
         // There is one for each caller.
         const Caller root{'Z', "root", ChannelAs("user", "cli"), root_};
         ReserveFor("window-", caller.letter, root).IgnoreError();
         v1::DeleteReservationRequest request;
         request.set_name(absl::StrCat("window-", std::string(1, caller.letter)));
         v1::DeleteReservationResponse ignored;
         return CallOver<NodeService>(caller.channel, &NodeService::Stub::DeleteReservation,
                                      request, caller.token, &ignored);
       }},
      Unary<NodeService, v1::SetNodeSchedulableRequest>(
          "SetNodeSchedulable", "....... ....... X.Z .....", Trace::kAudited,
          &NodeService::Stub::SetNodeSchedulable,
          [](v1::SetNodeSchedulableRequest& request) {
            request.set_name("node-a");
            request.set_schedulable(true);
          }),
      Unary<QueueService, v1::ListQueuesRequest>("ListQueues", "VEDTSAI vedtsai XYZ JKNGC",
                                                 Trace::kSilent, &QueueService::Stub::ListQueues),
      Unary<QueueService, v1::SetQueueRequest>(
          "SetQueue", "....... ....... ..Z .....", Trace::kAudited, &QueueService::Stub::SetQueue,
          [](v1::SetQueueRequest& request) { request.mutable_queue()->set_project("retail/nlp"); }),
      Unary<QueueService, v1::SetQueuesRequest>(
          "SetQueues", "....... ....... ..Z .....", Trace::kAudited, &QueueService::Stub::SetQueues,
          [](v1::SetQueuesRequest& request) { request.add_queues()->set_project("retail/old"); }),
      Unary<QueueService, v1::DeleteQueueRequest>(
          "DeleteQueue", "....... ....... ..Z .....", Trace::kAudited,
          &QueueService::Stub::DeleteQueue,
          [](v1::DeleteQueueRequest& request) { request.set_project("retail/old"); }),
      Unary<QueueService, v1::GetFabricUsageRequest>("GetFabricUsage", "VEDTSAI vedtsai XYZ JKNGC",
                                                     Trace::kSilent,
                                                     &QueueService::Stub::GetFabricUsage),
      Unary<EndpointService, v1::DeployEndpointRequest>(
          "DeployEndpoint", "..D..A. ....... ..Z .....", Trace::kAudited,
          &EndpointService::Stub::DeployEndpoint,
          [](v1::DeployEndpointRequest& request) {
            request.mutable_spec()->set_name("shop2");
            request.mutable_spec()->set_model("retail/none");
            request.mutable_spec()->set_replicas(1);
            request.mutable_spec()->mutable_resources()->set_cpu_milli(1);
            request.mutable_spec()->set_project("retail/nlp");
          }),
      Unary<EndpointService, v1::GetEndpointRequest>(
          "GetEndpoint", "VEDTSA. ....... XYZ J.NGC", Trace::kSilent,
          &EndpointService::Stub::GetEndpoint,
          [](v1::GetEndpointRequest& request) { request.set_name("shop"); }),
      Unary<EndpointService, v1::ListEndpointsRequest>("ListEndpoints", "VEDTSAI vedtsai XYZ JKNGC",
                                                       Trace::kSilent,
                                                       &EndpointService::Stub::ListEndpoints),
      {"DeleteEndpoint", "..D..A. ....... ..Z .....", Trace::kAudited,
       [this](const Caller& caller) {
         v1::DeleteEndpointRequest request;  // there is one for each caller
         request.set_name(absl::StrCat("shop-", std::string(1, caller.letter)));
         v1::DeleteEndpointResponse ignored;
         return CallOver<EndpointService>(caller.channel, &EndpointService::Stub::DeleteEndpoint,
                                          request, caller.token, &ignored);
       }},
      Unary<EndpointService, v1::ChangeAdaptersRequest>(
          "ChangeAdapters", "..D..A. ....... ..Z .....", Trace::kAudited,
          &EndpointService::Stub::ChangeAdapters,
          [](v1::ChangeAdaptersRequest& request) {
            request.set_endpoint("shop");
            request.add_remove("none");
          }),
      Stream<EndpointService, v1::WatchEndpointsRequest>(
          "WatchEndpoints", "VEDTSAI vedtsai XYZ JKNGC", &EndpointService::Stub::WatchEndpoints),
      Unary<EndpointService, v1::ReportUsageRequest>("ReportUsage", "....... ....... ... ...G.",
                                                     Trace::kSilent,
                                                     &EndpointService::Stub::ReportUsage),
      Unary<EndpointService, v1::GetUsageRequest>("GetUsage", "VEDTSAI vedtsai XYZ JKNGC",
                                                  Trace::kSilent, &EndpointService::Stub::GetUsage),
  };
}

absl::Status AccessMatrixTest::OpenAndRead(const Caller& caller) {
  data::v1::OpenDatasetRequest open;
  open.set_dataset("retail/corpus");
  open.set_purpose("evaluation");
  data::v1::OpenDatasetResponse grant;
  const absl::Status opened = CallOver<DataService>(caller.channel, &DataService::Stub::OpenDataset,
                                                    open, caller.token, &grant);
  data::v1::ReadDatasetRequest read;
  // Whoever cannot open tries a grant that somebody else was given.
  if (!opened.ok() && !absl::IsPermissionDenied(opened)) return opened;
  if (!opened.ok()) {
    const absl::Status other =
        CallOver<DataService>(ChannelAs("user", "cli"), &DataService::Stub::OpenDataset, open,
                              Token("owner", "retail", auth::v1::ENGINEER, "retail"), &grant);
    if (!other.ok()) return other;
  }
  read.set_grant_id(grant.grant_id());
  read.set_path("a.txt");
  return Stream<DataService, data::v1::ReadDatasetRequest>(
             "", "", &DataService::Stub::ReadDataset,
             [&](data::v1::ReadDatasetRequest& request) { request = read; })
      .call(caller);
}

std::vector<Row> AccessMatrixTest::DataRows() {
  namespace v1 = data::v1;
  return {
      {"RegisterDataset", ".E.T.A. ....... .YZ .....", Trace::kAudited,
       [this](const Caller& caller) { return UploadCorpus(caller); }},
      // The catalog is shared so that units find each other's data; the contents are not.
      Unary<DataService, v1::GetDatasetRequest>(
          "GetDataset", "VEDT.A. vedt.a. .YZ JK...", Trace::kSilent, &DataService::Stub::GetDataset,
          [](v1::GetDatasetRequest& request) { request.set_ref("retail/corpus"); }),
      Unary<DataService, v1::ListDatasetsRequest>("ListDatasets", "VEDT.A. vedt.a. .YZ JK...",
                                                  Trace::kSilent, &DataService::Stub::ListDatasets),
      Unary<DataService, v1::CheckAccessRequest>("CheckAccess", "VEDT.A. vedt.a. .YZ JK...",
                                                 Trace::kSilent, &DataService::Stub::CheckAccess,
                                                 [](v1::CheckAccessRequest& request) {
                                                   request.set_dataset("retail/corpus");
                                                   request.set_purpose("evaluation");
                                                 }),
      // By policy: a unit's own data. Even the fabric's admin is of no unit that may read it.
      Unary<DataService, v1::OpenDatasetRequest>("OpenDataset", ".E.T.A. ....... ... J....",
                                                 Trace::kAudited, &DataService::Stub::OpenDataset,
                                                 [](v1::OpenDatasetRequest& request) {
                                                   request.set_dataset("retail/corpus");
                                                   request.set_purpose("evaluation");
                                                 }),
      {"ReadDataset", ".E.T.A. ....... ... J....", Trace::kAudited,
       [this](const Caller& caller) { return OpenAndRead(caller); }},
      Unary<DataService, v1::ListRulesRequest>("ListRules", "VEDT.A. vedt.a. .YZ JK...",
                                               Trace::kSilent, &DataService::Stub::ListRules),
      Unary<DataService, v1::PutRuleRequest>("PutRule", "...T.A. ....... .YZ .....",
                                             Trace::kAudited, &DataService::Stub::PutRule,
                                             [](v1::PutRuleRequest& request) {
                                               v1::PolicyRule& rule = *request.mutable_rule();
                                               rule.set_id("ours");
                                               rule.set_effect(v1::PolicyRule::PERMIT);
                                               rule.add_datasets("retail/*");
                                               rule.add_purposes("analytics");
                                             }),
      Unary<DataService, v1::QueryAuditRequest>("QueryAudit", "...TSA. ...tsa. XYZ .....",
                                                Trace::kSilent, &DataService::Stub::QueryAudit),
      Unary<DataService, v1::VerifyAuditRequest>("VerifyAudit", "...TSA. ...tsa. XYZ .....",
                                                 Trace::kSilent, &DataService::Stub::VerifyAudit),
  };
}

std::vector<Row> AccessMatrixTest::AuthRows() {
  namespace v1 = auth::v1;
  return {
      Unary<AuthService, v1::WhoAmIRequest>("WhoAmI", "VEDTSAI vedtsai XYZ JKNGC", Trace::kSilent,
                                            &AuthService::Stub::WhoAmI),
      Unary<AuthService, v1::CreateTokenRequest>("CreateToken", ".....A. ....... ..Z .....",
                                                 Trace::kAudited, &AuthService::Stub::CreateToken,
                                                 [](v1::CreateTokenRequest& request) {
                                                   request.set_name("new");
                                                   request.set_kind(common::v1::Principal::SERVICE);
                                                   request.set_business_unit("retail");
                                                   request.add_bindings()->set_role(v1::INFERENCE);
                                                   request.mutable_bindings(0)->set_business_unit(
                                                       "retail");
                                                 }),
      Unary<AuthService, v1::ListTokensRequest>("ListTokens", ".....A. .....a. ..Z .....",
                                                Trace::kSilent, &AuthService::Stub::ListTokens),
      Unary<AuthService, v1::RevokeTokenRequest>("RevokeToken", ".....A. ....... ..Z .....",
                                                 Trace::kAudited, &AuthService::Stub::RevokeToken,
                                                 [this](v1::RevokeTokenRequest& request) {
                                                   v1::CreateTokenRequest gone;
                                                   gone.set_name("gone");
                                                   gone.set_kind(common::v1::Principal::USER);
                                                   gone.set_business_unit("retail");
                                                   gone.add_bindings()->set_role(v1::VIEWER);
                                                   gone.mutable_bindings(0)->set_business_unit(
                                                       "retail");
                                                   const auto made = tokens_.Create(gone);
                                                   ASSERT_OK(made);
                                                   request.set_id(made->id());
                                                 }),
      Unary<AuthService, v1::AuthenticateRequest>(
          "Authenticate", "....... ....... ... ...G.", Trace::kSilent,
          &AuthService::Stub::Authenticate,
          [this](v1::AuthenticateRequest& request) { request.set_secret(root_); }),
      // A session has all roles of its maker: people only.
      Unary<AuthService, v1::CreateLoginCodeRequest>("CreateLoginCode", "VEDTSA. vedtsa. XYZ .....",
                                                     Trace::kAudited,
                                                     &AuthService::Stub::CreateLoginCode),
  };
}

std::vector<Row> AccessMatrixTest::RegistryRows() {
  namespace v1 = registry::v1;
  const auto of_ref = [](auto& request) { request.set_ref("retail/none"); };
  return {
      Unary<RegistryService, v1::RegisterModelRequest>("RegisterModel", ".E...A. ....... ..Z J....",
                                                       Trace::kAudited,
                                                       &RegistryService::Stub::RegisterModel,
                                                       [](v1::RegisterModelRequest& request) {
                                                         request.set_name("retail/none");
                                                         request.set_source_dir("/nonexistent");
                                                       }),
      Unary<RegistryService, v1::GetModelRequest>("GetModel", "VEDTSA. ....... XYZ J..GC",
                                                  Trace::kSilent, &RegistryService::Stub::GetModel,
                                                  of_ref),
      Unary<RegistryService, v1::ListModelsRequest>("ListModels", "VEDTSAI vedtsai XYZ JKNGC",
                                                    Trace::kSilent,
                                                    &RegistryService::Stub::ListModels),
      Unary<RegistryService, v1::SetAliasRequest>("SetAlias", ".E...A. ....... ..Z J....",
                                                  Trace::kAudited, &RegistryService::Stub::SetAlias,
                                                  of_ref),
      Unary<RegistryService, v1::AttachEvaluationRequest>(
          "AttachEvaluation", ".E...A. ....... ..Z J....", Trace::kAudited,
          &RegistryService::Stub::AttachEvaluation, of_ref),
      Stream<RegistryService, v1::DownloadFileRequest>("DownloadFile", "VEDTSA. ....... XYZ J..GC",
                                                       &RegistryService::Stub::DownloadFile,
                                                       of_ref),
  };
}

std::string WithoutSpaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

TEST_F(AccessMatrixTest, EveryRpcHasARow) {
  std::set<std::string> with_row;
  for (const Row& row : Rows()) with_row.insert(row.rpc);
  std::set<std::string> rpcs;
  for (const char* service :
       {"oneai.fabric.v1.JobService", "oneai.fabric.v1.NodeService", "oneai.fabric.v1.QueueService",
        "oneai.fabric.v1.EndpointService", "oneai.data.v1.DataService", "oneai.auth.v1.AuthService",
        "oneai.registry.v1.RegistryService"}) {
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    ASSERT_NE(descriptor, nullptr) << service;
    for (int i = 0; i < descriptor->method_count(); ++i)
      EXPECT_TRUE(rpcs.insert(descriptor->method(i)->name()).second);
  }
  EXPECT_EQ(with_row, rpcs);
}

TEST_F(AccessMatrixTest, EveryCallerMayDoWhatTheTableSaysAndRefusalsAreAudited) {
  const std::vector<Caller> callers = Callers();
  for (const Row& row : Rows()) {
    std::string actual;
    for (const Caller& caller : callers) {
      const int64_t before = NewestAudit().sequence();
      const absl::Status status = row.call(caller);
      EXPECT_FALSE(absl::IsUnauthenticated(status)) << row.rpc << " as " << caller.name << status;
      const bool denied = absl::IsPermissionDenied(status);
      actual += denied ? '.' : caller.letter;
      const data::v1::AuditRecord newest = NewestAudit();
      if (denied) {
        EXPECT_TRUE(newest.sequence() > before && !newest.allowed())
            << row.rpc << " refused to " << caller.name << " left no audit record: " << status;
      } else if (status.ok() && row.trace == Trace::kAudited) {
        EXPECT_GT(newest.sequence(), before) << row.rpc << " by " << caller.name;
      }
    }
    EXPECT_EQ(actual, WithoutSpaces(row.allowed)) << row.rpc << "; legend: " << kLegend;
  }
}

TEST_F(AccessMatrixTest, NothingIsAnsweredWithoutAValidToken) {
  const std::string expired = Token("old", "retail", auth::v1::ADMIN, "*");
  clock_.Advance(absl::Hours(24 * 91));
  for (const std::string& token : {std::string(), std::string("oneai_wrong"), expired}) {
    const Caller stranger{'?', "stranger", ChannelAs("user", "cli"), token};
    for (const Row& row : Rows()) {
      if (row.rpc == "ReadDataset") continue;  // opens first, which is a row of its own
      EXPECT_THAT(row.call(stranger),
                  StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("token")))
          << row.rpc;
    }
  }
}

}  // namespace
}  // namespace oneai
