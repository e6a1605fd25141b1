// oneai node ...
#include <algorithm>
#include <iostream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Node;
using fabric::v1::NodeService;

std::string Devices(const fabric::v1::NodeInfo& info) {
  std::vector<std::string> devices;
  for (const fabric::v1::Device& device : info.devices()) {
    devices.push_back(absl::StrCat(device.kind(), device.emulated() ? " (emulator)" : "",
                                   device.healthy() ? "" : " (unhealthy)"));
  }
  return devices.empty() ? "-" : absl::StrJoin(devices, ", ");
}

void PrintNodes(const std::vector<Node>& nodes) {
  Table table({"NAME", "STATE", "CPU", "MEMORY", "DEVICES", "TASKS", "SEEN"});
  for (const Node& node : nodes) {
    table.Add({node.info().name(), NodeState_Name(node.state()),
               absl::StrCat(node.cpu_milli_used() / 1000.0, "/", node.info().cpu_milli() / 1000.0),
               absl::StrCat(HumanBytes(node.memory_bytes_used()), " / ",
                            HumanBytes(node.info().memory_bytes())),
               Devices(node.info()), absl::StrCat(node.task_names_size()),
               Age(node.last_heartbeat(), absl::Now())});
  }
  std::cout << table.ToString();
}

std::string Instant(int64_t unix_ms) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixMillis(unix_ms), absl::UTCTimeZone());
}

void PrintDrain(const Node& node) {
  if (!node.has_drain()) return;
  std::cout << "drain: by " << Printable(node.drain().by()) << ", deadline "
            << Instant(node.drain().deadline_unix_ms())
            << (node.drain().automatic() ? ", ends when its checks pass" : "")
            << (node.drain().reason().empty() ? "" : ": ") << Printable(node.drain().reason())
            << "\n";
}

void PrintNode(const Node& node) {
  PrintNodes({node});
  if (!node.message().empty()) std::cout << "message: " << Printable(node.message()) << "\n";
  if (node.cordoned()) std::cout << "cordoned: " << Printable(node.cordon_reason()) << "\n";
  PrintDrain(node);
  if (node.spare()) {
    std::cout << "hot spare: "
              << (node.standing_in_for().empty() ? "held"
                                                 : "stands in for " + node.standing_in_for())
              << "\n";
  }
  std::map<std::string, std::string> labels(node.info().labels().begin(),
                                            node.info().labels().end());
  for (const auto& [key, value] : node.labels()) labels[key] = value;
  for (const auto& [key, value] : labels)
    std::cout << "label: " << Printable(key) << "=" << Printable(value) << "\n";
  for (const fabric::v1::HealthCheck& check : node.checks()) {
    std::cout << "check " << Printable(check.name()) << ": " << (check.healthy() ? "ok" : "FAILED")
              << (check.message().empty() ? "" : ", ") << Printable(check.message()) << ", since "
              << absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMillis(check.since_unix_ms()),
                                  absl::UTCTimeZone())
              << " UTC\n";
  }
  for (const fabric::v1::Device& device : node.info().devices()) {
    std::cout << "device " << device.id() << ": " << Printable(device.name()) << ", "
              << HumanBytes(device.memory_bytes()) << (device.emulated() ? ", emulator" : "")
              << (device.healthy() ? "" : ", broken: ") << Printable(device.health_message())
              << "\n";
  }
  for (const fabric::v1::DeviceGrant& grant : node.grants_used())
    std::cout << "in use: " << grant.id() << ", " << grant.milli() / 10.0 << " %\n";
  for (const std::string& task : node.task_names()) std::cout << "task: " << task << "\n";
  for (const std::string& limit : node.info().enforced())
    std::cout << "enforced: " << Printable(limit) << "\n";
  for (const std::string& limit : node.info().not_enforced())
    std::cout << "not enforced: " << Printable(limit) << "\n";
}

int SetSchedulable(const CommandContext& context, const std::string& name, bool schedulable,
                   const std::string& reason) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::SetNodeSchedulableRequest request;
  request.set_name(name);
  request.set_schedulable(schedulable);
  request.set_reason(reason);
  const auto node = session->Call<NodeService>(&NodeService::Stub::SetNodeSchedulable, request);
  if (!node.ok()) return Fail(node.status());
  std::cout << "node " << name << " is "
            << (schedulable ? "uncordoned" : "cordoned: running tasks stay, no new ones come")
            << "\n";
  return kExitOk;
}

// A change of one node: prints the node, or what has happened.
template <typename Method, typename Request>
int ChangeNode(const CommandContext& context, Method method, const Request& request,
               const std::string& done) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto node = session->Call<NodeService>(method, request);
  if (!node.ok()) return Fail(node.status());
  if (context.json()) {
    std::cout << ToJson(*node);
  } else {
    std::cout << "node " << request.name() << " " << done << "\n";
  }
  return kExitOk;
}

// "90s", "10m", "2h30m"; also a plain number of seconds.
absl::StatusOr<absl::Duration> ParseLength(const std::string& flag, const std::string& text) {
  absl::Duration length;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    length = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &length)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", text, ": not a length of time; write 90s, 10m or 2h30m"));
  }
  if (length < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " ", text, ": must not be negative"));
  }
  return length;
}

// "now", "+2h", "2026-11-24T08:00:00Z" or "2026-11-24 08:00" (UTC).
absl::StatusOr<absl::Time> ParseInstant(const std::string& flag, const std::string& text) {
  if (text == "now") return absl::Now();
  if (absl::StartsWith(text, "+")) {
    ASSIGN_OR_RETURN(const absl::Duration length, ParseLength(flag, text.substr(1)));
    return absl::Now() + length;
  }
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error) ||
      absl::ParseTime("%Y-%m-%d %H:%M", text, absl::UTCTimeZone(), &time, &error)) {
    return time;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      flag, " ", text, ": write now, +2h, \"2026-11-24 08:00\" (UTC) or 2026-11-24T08:00:00Z"));
}

struct DrainFlags {
  std::string name, deadline = "15m", reason;
  bool force = false;
};

int DrainNode(const CommandContext& context, const DrainFlags& flags) {
  const absl::StatusOr<absl::Duration> deadline = ParseLength("--deadline", flags.deadline);
  if (!deadline.ok()) return Fail(deadline.status());
  fabric::v1::DrainNodeRequest request;
  request.set_name(flags.name);
  request.set_reason(flags.reason);
  request.set_deadline_ms(std::max<int64_t>(1, absl::ToInt64Milliseconds(*deadline)));
  request.set_force(flags.force);
  return ChangeNode(context, &NodeService::Stub::DrainNode, request,
                    absl::StrCat("is being emptied; what still runs in ",
                                 absl::FormatDuration(*deadline), " is stopped"));
}

int LabelNode(const CommandContext& context, const std::string& name,
              const std::vector<std::string>& changes) {
  fabric::v1::SetNodeLabelsRequest request;
  request.set_name(name);
  for (const std::string& change : changes) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(change, absl::MaxSplits('=', 1));
    if (absl::StrContains(change, '=')) {
      (*request.mutable_set())[parts.first] = parts.second;
    } else if (absl::EndsWith(change, "-")) {
      request.add_remove(change.substr(0, change.size() - 1));
    } else {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("label ", change, ": write key=value to set it, key- to remove it")));
    }
  }
  return ChangeNode(context, &NodeService::Stub::SetNodeLabels, request, "has its labels set");
}

int SetSpare(const CommandContext& context, const std::string& name, bool spare) {
  fabric::v1::SetNodeSpareRequest request;
  request.set_name(name);
  request.set_spare(spare);
  return ChangeNode(context, &NodeService::Stub::SetNodeSpare, request,
                    spare ? "is a held hot spare" : "is a spare no longer");
}

struct ReservationFlags {
  std::string name, start = "now", end, length, project, reason;
  bool maintenance = false;
  std::vector<std::string> nodes, selector;
  int num_nodes = 0;
};

absl::StatusOr<fabric::v1::Reservation> MakeReservation(const ReservationFlags& flags) {
  fabric::v1::Reservation reservation;
  reservation.set_name(flags.name);
  reservation.set_kind(flags.maintenance ? fabric::v1::MAINTENANCE : fabric::v1::RESERVED);
  reservation.mutable_nodes()->Assign(flags.nodes.begin(), flags.nodes.end());
  reservation.set_num_nodes(flags.num_nodes);
  for (const std::string& label : flags.selector) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    (*reservation.mutable_node_selector())[parts.first] = parts.second;
  }
  ASSIGN_OR_RETURN(const absl::Time start, ParseInstant("--start", flags.start));
  absl::Time end;
  if (flags.end.empty() == flags.length.empty()) {
    return absl::InvalidArgumentError("--end, --for: say one of both");
  }
  if (!flags.end.empty()) {
    ASSIGN_OR_RETURN(end, ParseInstant("--end", flags.end));
  } else {
    ASSIGN_OR_RETURN(const absl::Duration length, ParseLength("--for", flags.length));
    end = start + length;
  }
  reservation.set_start_unix_ms(absl::ToUnixMillis(start));
  reservation.set_end_unix_ms(absl::ToUnixMillis(end));
  reservation.set_project(flags.project);
  reservation.set_reason(flags.reason);
  return reservation;
}

void PrintReservations(const std::vector<fabric::v1::Reservation>& reservations) {
  Table table({"NAME", "KIND", "FROM", "TO", "NODES", "PROJECT", "REASON"});
  for (const fabric::v1::Reservation& r : reservations) {
    table.Add({r.name(), r.kind() == fabric::v1::MAINTENANCE ? "maintenance" : "reserved",
               Instant(r.start_unix_ms()), Instant(r.end_unix_ms()), absl::StrJoin(r.nodes(), ","),
               r.project().empty() ? "-" : r.project(), r.reason().empty() ? "-" : r.reason()});
  }
  std::cout << table.ToString();
}

int CreateReservation(const CommandContext& context, const ReservationFlags& flags) {
  fabric::v1::CreateReservationRequest request;
  const absl::StatusOr<fabric::v1::Reservation> wanted = MakeReservation(flags);
  if (!wanted.ok()) return Fail(wanted.status());
  *request.mutable_reservation() = *wanted;
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto made = session->Call<NodeService>(&NodeService::Stub::CreateReservation, request);
  if (!made.ok()) return Fail(made.status());
  if (context.json()) {
    std::cout << ToJson(*made);
  } else {
    PrintReservations({*made});
  }
  return kExitOk;
}

int ListReservations(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto list = session->Call<NodeService>(&NodeService::Stub::ListReservations,
                                               fabric::v1::ListReservationsRequest());
  if (!list.ok()) return Fail(list.status());
  if (context.json()) {
    std::cout << ToJson(*list);
  } else {
    PrintReservations({list->reservations().begin(), list->reservations().end()});
  }
  return kExitOk;
}

int DeleteReservation(const CommandContext& context, const std::string& name) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::DeleteReservationRequest request;
  request.set_name(name);
  const auto answer = session->Call<NodeService>(&NodeService::Stub::DeleteReservation, request);
  if (!answer.ok()) return Fail(answer.status());
  if (context.json()) {
    std::cout << ToJson(*answer);
  } else {
    std::cout << "reservation " << name << " is deleted\n";
  }
  return kExitOk;
}

int ListNodes(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto nodes =
      session->Call<NodeService>(&NodeService::Stub::ListNodes, fabric::v1::ListNodesRequest());
  if (!nodes.ok()) return Fail(nodes.status());
  if (context.json()) {
    std::cout << ToJson(*nodes);
  } else {
    PrintNodes({nodes->nodes().begin(), nodes->nodes().end()});
  }
  return kExitOk;
}

int GetNode(const CommandContext& context, const std::string& name) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  fabric::v1::GetNodeRequest request;
  request.set_name(name);
  const auto node = session->Call<NodeService>(&NodeService::Stub::GetNode, request);
  if (!node.ok()) return Fail(node.status());
  if (context.json()) {
    std::cout << ToJson(*node);
  } else {
    PrintNode(*node);
  }
  return kExitOk;
}

void AddServiceCommands(CLI::App& node, CommandContext& context) {
  auto drain = std::make_shared<DrainFlags>();
  CLI::App* drained = AddCommand(node, context, "drain", "empty a node; gangs move whole",
                                 [&context, drain] { return DrainNode(context, *drain); });
  drained->add_option("name", drain->name, "node")->required();
  drained->add_option("--deadline", drain->deadline,
                      "what still runs then is stopped (default 15m)");
  drained->add_option("--reason", drain->reason, "shown to others");
  drained->add_flag("--force", drain->force, "although a reservation needs the node");

  auto name = std::make_shared<std::string>();
  AddCommand(node, context, "undrain", "put a drained node back in service",
             [&context, name] { return SetSchedulable(context, *name, true, ""); })
      ->add_option("name", *name, "node")
      ->required();
  auto changes = std::make_shared<std::vector<std::string>>();
  CLI::App* label =
      AddCommand(node, context, "label", "set (key=value) and remove (key-) labels",
                 [&context, name, changes] { return LabelNode(context, *name, *changes); });
  label->add_option("name", *name, "node")->required();
  label->add_option("labels", *changes, "key=value or key-")->required();

  auto off = std::make_shared<bool>(false);
  CLI::App* spare = AddCommand(node, context, "spare", "hold a node as a hot spare",
                               [&context, name, off] { return SetSpare(context, *name, !*off); });
  spare->add_option("name", *name, "node")->required();
  spare->add_flag("--off", *off, "an ordinary node again");
}

void AddReservationCommands(CLI::App& node, CommandContext& context) {
  CLI::App& reservation =
      *node.add_subcommand("reservation", "nodes over time: reservations and maintenance windows");
  reservation.require_subcommand(1);
  auto flags = std::make_shared<ReservationFlags>();
  CLI::App* create = AddCommand(reservation, context, "create", "hold nodes from a start to an end",
                                [&context, flags] { return CreateReservation(context, *flags); });
  create->add_option("name", flags->name, "what jobs call it")->required();
  create->add_flag("--maintenance", flags->maintenance, "nobody runs there");
  create->add_option("--node", flags->nodes, "this node; repeatable");
  create->add_option("--nodes", flags->num_nodes, "so many, chosen now");
  create->add_option("--selector", flags->selector, "of nodes with this label (key=value)");
  create->add_option("--start", flags->start, "now (default), +2h, or a time in UTC");
  create->add_option("--end", flags->end, "a time as for --start");
  create->add_option("--for", flags->length, "instead of --end: how long");
  create->add_option("--project", flags->project, "whose jobs may name it");
  create->add_option("--reason", flags->reason, "shown to others");
  AddCommand(reservation, context, "list", "all that lie ahead",
             [&context] { return ListReservations(context); });
  auto name = std::make_shared<std::string>();
  AddCommand(reservation, context, "delete", "give the nodes back",
             [&context, name] { return DeleteReservation(context, *name); })
      ->add_option("name", *name, "reservation")
      ->required();
}

}  // namespace

void AddNodeCommands(CLI::App& app, CommandContext& context) {
  CLI::App& node = *app.add_subcommand("node", "the machines of the fabric");
  node.require_subcommand(1);
  AddCommand(node, context, "list", "all nodes with what is used",
             [&context] { return ListNodes(context); });
  auto name = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  AddCommand(node, context, "get", "one node with devices, tasks and limits",
             [&context, name] { return GetNode(context, *name); })
      ->add_option("name", *name, "node")
      ->required();
  CLI::App* cordon = AddCommand(
      node, context, "cordon", "keep new tasks away from a node",
      [&context, name, reason] { return SetSchedulable(context, *name, false, *reason); });
  cordon->add_option("name", *name, "node")->required();
  cordon->add_option("--reason", *reason, "shown to others");
  AddCommand(node, context, "uncordon", "let new tasks in again",
             [&context, name] { return SetSchedulable(context, *name, true, ""); })
      ->add_option("name", *name, "node")
      ->required();
  AddCommand(node, context, "show", "the same as get",
             [&context, name] { return GetNode(context, *name); })
      ->add_option("name", *name, "node")
      ->required();
  AddServiceCommands(node, context);
  AddReservationCommands(node, context);
}

}  // namespace oneai::cli
