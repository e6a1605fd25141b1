// oneai up, down, status, ui, whoami, token ...
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/up/supervisor.h"
#include "nlohmann/json.hpp"
#include "oneai/auth/v1/auth.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::cli {
namespace {

using auth::v1::AuthService;

struct UpFlags {
  UpOptions options;
  bool detach = false;
};

bool AllServe(const FabricPlan& plan) {
  return std::all_of(plan.components.begin(), plan.components.end(), [](const Component& c) {
    return c.endpoints_file.empty() || std::filesystem::exists(c.endpoints_file);
  });
}

// Waits until every component serves and every node has joined.
absl::Status AwaitReady(const FabricPlan& plan, pid_t supervisor) {
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (absl::Now() < deadline) {
    const absl::StatusOr<UpState> state = ReadUpState(plan.dir);
    // The state of a supervisor that was killed says nothing about this one.
    if (state.ok() && state->ready && state->supervisor == supervisor && AllServe(plan)) {
      const absl::StatusOr<Session> session = Session::Open(plan.dir, "");
      if (session.ok()) {
        const auto nodes = session->Call<fabric::v1::NodeService>(
            &fabric::v1::NodeService::Stub::ListNodes, fabric::v1::ListNodesRequest(),
            absl::Seconds(2));
        size_t ready = 0;
        if (nodes.ok()) {
          for (const fabric::v1::Node& node : nodes->nodes())
            ready += node.state() == fabric::v1::READY || node.state() == fabric::v1::CORDONED;
        }
        if (ready >= plan.num_nodes) return absl::OkStatus();
      }
    }
    if (kill(supervisor, 0) != 0) {
      const absl::StatusOr<std::string> log = ReadFile(plan.dir / "logs" / "up.log");
      return absl::UnavailableError(
          absl::StrCat("the fabric did not start:\n", log.ok() ? *log : std::string()));
    }
    absl::SleepFor(absl::Milliseconds(100));
  }
  return absl::DeadlineExceededError(
      absl::StrCat("not every node joined within a minute; see ", (plan.dir / "logs").string()));
}

void PrintAddresses(const FabricPlan& plan) {
  std::cout << "fabric:     " << plan.dir.string() << "\ncontroller: " << plan.client.controller
            << " (gRPC, mTLS)\ndashboard:  " << plan.client.web
            << "\ngateway:    " << plan.client.gateway_http << "/v1 (OpenAI HTTP), "
            << plan.client.gateway_grpc << " (gRPC, mTLS)\ntoken:      " << plan.client.token_file
            << "\nCA:         " << plan.client.tls.ca << "\n";
}

// Starts this program again as a supervisor in its own session and waits until the fabric is ready.
int UpDetached(const FabricPlan& plan, const UpOptions& options) {
  if (IsSupervised(plan.dir)) {
    return Fail(absl::FailedPreconditionError(absl::StrCat(
        "the fabric in ", plan.dir.string(), " is already up (`oneai status`, `oneai down`)")));
  }
  if (absl::Status prepared = PrepareFolder(plan); !prepared.ok()) return Fail(prepared);
  std::error_code ignored;
  std::filesystem::remove(plan.dir / "logs" / "up.log", ignored);
  ChildOptions child;
  child.argv = {absl::StrCat(ExecutableDir(), "/oneai"),
                "--dir",
                plan.dir.string(),
                "up",
                "--port-base",
                absl::StrCat(options.port_base),
                "--nodes",
                absl::StrCat(options.num_cpu_nodes),
                "--asic-nodes",
                absl::StrCat(options.num_asic_nodes),
                "--cpus",
                absl::StrCat(options.cpus_per_node)};
  if (options.ha) child.argv.push_back("--ha");
  child.env = CurrentEnvironment();
  child.output_file = (plan.dir / "logs" / "up.log").string();
  child.new_session = true;
  const absl::StatusOr<pid_t> pid = SpawnChild(child);
  if (!pid.ok()) return Fail(pid.status());
  // An ended child must vanish rather than stay a zombie, which kill(pid, 0) would take for alive.
  std::signal(SIGCHLD, SIG_IGN);
  if (absl::Status ready = AwaitReady(plan, *pid); !ready.ok()) return Fail(ready);
  PrintAddresses(plan);
  return kExitOk;
}

int Up(const CommandContext& context, UpFlags& flags) {
  flags.options.dir = FabricDir(context.dir);
  const absl::StatusOr<FabricPlan> plan = PlanFabric(flags.options, ExecutableDir());
  if (!plan.ok()) return Fail(plan.status());
  if (flags.detach) return UpDetached(*plan, flags.options);
  if (StdoutIsTerminal()) {
    PrintAddresses(*plan);
    std::cout << "Ctrl-C stops the fabric.\n" << std::flush;
  }
  if (absl::Status status = Log::Start({"up"}); !status.ok()) return Fail(status);
  const absl::Status status = Supervise(*plan);
  return status.ok() ? kExitOk : Fail(status);
}

int Down(const CommandContext& context) {
  const absl::Status status = StopFabric(FabricDir(context.dir));
  if (!status.ok()) return Fail(status);
  std::cout << "the fabric is down; its state stays in " << FabricDir(context.dir).string() << "\n";
  return kExitOk;
}

// Which of the session's controllers answers: the leader. Nullopt: none does.
std::optional<size_t> LeaderAmong(const Session& session) {
  const auto stub = AuthService::NewStub(session.controller());
  grpc::ClientContext context;
  PrepareContext(context, absl::Seconds(5), session.token());
  auth::v1::WhoAmIResponse response;
  if (!stub->WhoAmI(&context, auth::v1::WhoAmIRequest(), &response).ok()) return std::nullopt;
  const std::vector<std::string> addresses = absl::StrSplit(session.config().controller, ',');
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (absl::EndsWith(context.peer(), addresses[i])) return i;
  }
  return std::nullopt;
}

// The leader's part of a list with commas; the whole list when no controller answers.
std::string OfLeader(const std::string& listed, std::optional<size_t> leader) {
  const std::vector<std::string> parts = absl::StrSplit(listed, ',');
  return leader.has_value() && *leader < parts.size() ? parts[*leader] : listed;
}

std::string StatusJson(const std::filesystem::path& dir, const UpState& state,
                       const ClientConfig* client, std::optional<size_t> leader) {
  nlohmann::ordered_json json = {{"supervised", IsSupervised(dir)}, {"ready", state.ready}};
  json["components"] = nlohmann::ordered_json::array();
  for (const RunningComponent& component : state.components) {
    json["components"].push_back(
        {{"name", component.name}, {"pid", component.pid}, {"running", IsAlive(component)}});
  }
  if (client != nullptr) {
    json["controller"] = client->controller;
    if (leader.has_value()) json["leader"] = OfLeader(client->controller, leader);
    json["web"] = OfLeader(client->web, leader);
    json["gateway_grpc"] = client->gateway_grpc;
    json["gateway_http"] = client->gateway_http;
  }
  return json.dump(1);
}

int Status(const CommandContext& context) {
  const std::filesystem::path dir = FabricDir(context.dir);
  const absl::StatusOr<UpState> state = ReadUpState(dir);
  if (!state.ok())
    return Fail(absl::NotFoundError(
        absl::StrCat("no fabric runs in ", dir.string(), "; start one with `oneai up`")));
  const absl::StatusOr<ClientConfig> client = ReadClientConfig(dir);
  const bool is_replicated = client.ok() && absl::StrContains(client->controller, ',');
  std::optional<size_t> leader;
  if (is_replicated) {
    const absl::StatusOr<Session> session = context.Open();
    if (session.ok()) leader = LeaderAmong(*session);
  }
  if (context.json()) {
    std::cout << StatusJson(dir, *state, client.ok() ? &*client : nullptr, leader) << "\n";
    return kExitOk;
  }
  Table table({"COMPONENT", "PID", "STATE"});
  table.Add(
      {"supervisor", absl::StrCat(state->supervisor), IsSupervised(dir) ? "running" : "gone"});
  for (const RunningComponent& component : state->components) {
    table.Add({component.name, absl::StrCat(component.pid),
               IsAlive(component) ? "running" : "restarting"});
  }
  std::cout << table.ToString();
  if (is_replicated) {
    std::cout << "leader:    "
              << (leader.has_value() ? OfLeader(client->controller, leader)
                                     : "none answers; one is elected within seconds")
              << "\n";
  }
  if (client.ok()) {
    std::cout << "dashboard: " << OfLeader(client->web, leader)
              << "   (oneai ui)\ngateway:   " << client->gateway_http << "/v1, gRPC "
              << client->gateway_grpc << "\n";
  }
  return kExitOk;
}

int Ui(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto code = session->Call<AuthService>(&AuthService::Stub::CreateLoginCode,
                                               auth::v1::CreateLoginCodeRequest());
  if (!code.ok()) return Fail(code.status());
  if (context.json()) {
    std::cout << ToJson(*code);
    return kExitOk;
  }
  std::cout << "dashboard:  " << OfLeader(session->config().web, LeaderAmong(*session))
            << "\nlogin code: " << code->code() << "   (once, within 10 minutes)\n";
  return kExitOk;
}

std::string Bindings(const google::protobuf::RepeatedPtrField<auth::v1::RoleBinding>& bindings) {
  return absl::StrJoin(bindings, ",", [](std::string* out, const auth::v1::RoleBinding& binding) {
    absl::StrAppend(out, absl::AsciiStrToLower(auth::v1::Role_Name(binding.role())), "@",
                    binding.business_unit());
  });
}

int WhoAmI(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto me = session->Call<AuthService>(&AuthService::Stub::WhoAmI, auth::v1::WhoAmIRequest());
  if (!me.ok()) return Fail(me.status());
  if (context.json()) {
    std::cout << ToJson(*me);
    return kExitOk;
  }
  const std::string& unit = me->principal().business_unit();
  std::cout << Printable(me->principal().name()) << " of "
            << (unit.empty() ? "no unit" : Printable(unit)) << ": "
            << Printable(Bindings(me->bindings())) << "\n";
  return kExitOk;
}

struct TokenFlags {
  std::string name, unit, file;
  std::vector<std::string> roles;
  int days = 90;
  bool service = false;
};

absl::StatusOr<auth::v1::CreateTokenRequest> MakeTokenRequest(const TokenFlags& flags) {
  auth::v1::CreateTokenRequest request;
  request.set_name(flags.name);
  request.set_kind(flags.service ? common::v1::Principal::SERVICE : common::v1::Principal::USER);
  request.set_business_unit(flags.unit);
  request.set_lifetime_seconds(int64_t{flags.days} * 86'400);
  for (const std::string& text : flags.roles) {
    const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('@', 1));
    auth::v1::Role role;
    if (!auth::v1::Role_Parse(absl::AsciiStrToUpper(parts[0]), &role)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--role ", text,
                       ": choose viewer, engineer, deployer, steward, sre, admin or inference, "
                       "optionally with @<business unit>"));
    }
    auth::v1::RoleBinding& binding = *request.add_bindings();
    binding.set_role(role);
    binding.set_business_unit(parts.size() > 1 ? parts[1] : flags.unit);
  }
  return request;
}

int CreateToken(const CommandContext& context, const TokenFlags& flags) {
  const absl::StatusOr<auth::v1::CreateTokenRequest> request = MakeTokenRequest(flags);
  if (!request.ok()) return Fail(request.status());
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto token = session->Call<AuthService>(&AuthService::Stub::CreateToken, *request);
  if (!token.ok()) return Fail(token.status());
  if (context.json() && flags.file.empty()) {
    std::cout << ToJson(*token);
    return kExitOk;
  }
  if (!flags.file.empty()) {
    if (absl::Status written = WriteFileAtomically(flags.file, token->secret() + "\n", 0600);
        !written.ok())
      return Fail(written);
    std::cout << token->id() << "\n";
    return kExitOk;
  }
  std::cout << token->secret() << "\n";
  std::cerr << "token " << token->id()
            << ": shown once, keep it in a file that only its owner reads\n";
  return kExitOk;
}

void AddToken(CLI::App& app, CommandContext& context) {
  CLI::App& token = *app.add_subcommand("token", "tokens of people and API keys of services");
  token.require_subcommand(1);
  auto flags = std::make_shared<TokenFlags>();
  CLI::App* create = AddCommand(token, context, "create", "make a token; its secret is shown once",
                                [&context, flags] { return CreateToken(context, *flags); });
  create->add_option("name", flags->name, "person or service")->required();
  create->add_option("--unit", flags->unit, "business unit")->required();
  create->add_option("--role", flags->roles, "role, or role@unit; repeatable")->required();
  create->add_option("--days", flags->days, "lifetime")->check(CLI::Range(1, 365));
  create->add_option("--write-to", flags->file,
                     "write the secret to this file instead of showing it");
  create->add_flag("--service", flags->service, "an API key of a service");
  AddCommand(token, context, "list", "all tokens, without secrets", [&context] {
    const absl::StatusOr<Session> session = context.Open();
    if (!session.ok()) return Fail(session.status());
    const auto tokens =
        session->Call<AuthService>(&AuthService::Stub::ListTokens, auth::v1::ListTokensRequest());
    if (!tokens.ok()) return Fail(tokens.status());
    if (context.json()) {
      std::cout << ToJson(*tokens);
      return static_cast<int>(kExitOk);
    }
    Table table({"ID", "NAME", "UNIT", "ROLES", "AGE", "EXPIRES"});
    for (const auth::v1::TokenInfo& info : tokens->tokens()) {
      table.Add({info.id(), info.principal().name(), info.principal().business_unit(),
                 Bindings(info.bindings()), Age(info.created(), absl::Now()),
                 google::protobuf::util::TimeUtil::ToString(info.expires())});
    }
    std::cout << table.ToString();
    return static_cast<int>(kExitOk);
  });
  auto id = std::make_shared<std::string>();
  AddCommand(token, context, "revoke", "end a token now",
             [&context, id] {
               const absl::StatusOr<Session> session = context.Open();
               if (!session.ok()) return Fail(session.status());
               auth::v1::RevokeTokenRequest request;
               request.set_id(*id);
               const auto answer =
                   session->Call<AuthService>(&AuthService::Stub::RevokeToken, request);
               if (!answer.ok()) return Fail(answer.status());
               std::cout << "token " << *id << " is revoked\n";
               return static_cast<int>(kExitOk);
             })
      ->add_option("id", *id, "token id")
      ->required();
}

}  // namespace

void AddFabricCommands(CLI::App& app, CommandContext& context) {
  auto flags = std::make_shared<UpFlags>();
  CLI::App* up =
      AddCommand(app, context, "up", "start a one-machine fabric: controller, nodes, gateway",
                 [&context, flags] { return Up(context, *flags); });
  up->add_flag("--detach,-d", flags->detach, "leave it running in the background");
  up->add_option("--port-base", flags->options.port_base, "first port (default 7400)");
  up->add_option("--nodes", flags->options.num_cpu_nodes, "CPU nodes (default 2)");
  up->add_option("--asic-nodes", flags->options.num_asic_nodes,
                 "nodes with an emulated inference ASIC (default 1)");
  up->add_flag("--ha", flags->options.ha,
               "three controllers over three etcd members: any one of each may die");
  up->add_option("--cpus", flags->options.cpus_per_node,
                 "cores each node offers (default: this machine's)");
  AddCommand(app, context, "down", "stop the fabric and its tasks; state stays",
             [&context] { return Down(context); });
  AddCommand(app, context, "status", "what of the fabric runs, and where",
             [&context] { return Status(context); });
  AddCommand(app, context, "ui", "address of the dashboard and a one-time login code",
             [&context] { return Ui(context); });
  AddCommand(app, context, "whoami", "who the token stands for",
             [&context] { return WhoAmI(context); });
  AddToken(app, context);
}

}  // namespace oneai::cli
