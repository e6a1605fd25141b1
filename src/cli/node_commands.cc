// oneai node ..., oneai queue ...
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "oneai/fabric/v1/endpoint.grpc.pb.h"
#include "oneai/fabric/v1/queue.grpc.pb.h"
#include "oneai/fabric/v1/node.grpc.pb.h"

namespace oneai::cli {
namespace {

using fabric::v1::Node;
using fabric::v1::NodeService;
using fabric::v1::QueueService;

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

void PrintNode(const Node& node) {
  PrintNodes({node});
  if (!node.message().empty()) std::cout << "message: " << Printable(node.message()) << "\n";
  if (node.cordoned()) std::cout << "cordoned: " << Printable(node.cordon_reason()) << "\n";
  for (const fabric::v1::Device& device : node.info().devices()) {
    std::cout << "device " << device.id() << ": " << Printable(device.name()) << ", "
              << HumanBytes(device.memory_bytes()) << (device.emulated() ? ", emulator" : "")
              << "\n";
  }
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

std::string Limit(int64_t used, int64_t limit, double unit) {
  return absl::StrCat(static_cast<double>(used) / unit, "/",
                      limit == 0 ? "-" : absl::StrCat(static_cast<double>(limit) / unit));
}

int ListQueues(const CommandContext& context) {
  const absl::StatusOr<Session> session = context.Open();
  if (!session.ok()) return Fail(session.status());
  const auto queues =
      session->Call<QueueService>(&QueueService::Stub::ListQueues, fabric::v1::ListQueuesRequest());
  if (!queues.ok()) return Fail(queues.status());
  if (context.json()) {
    std::cout << ToJson(*queues);
    return kExitOk;
  }
  Table table({"PROJECT", "CPU", "MEMORY GiB", "PENDING", "RUNNING"});
  for (const fabric::v1::Queue& queue : queues->queues()) {
    table.Add({queue.project(), Limit(queue.cpu_milli_used(), queue.cpu_milli_limit(), 1000),
               Limit(queue.memory_bytes_used(), queue.memory_bytes_limit(), 1 << 30),
               absl::StrCat(queue.pending_jobs()), absl::StrCat(queue.running_jobs())});
  }
  std::cout << table.ToString();
  return kExitOk;
}

void AddQueue(CLI::App& app, CommandContext& context) {
  CLI::App& queue = *app.add_subcommand("queue", "quota of projects");
  queue.require_subcommand(1);
  AddCommand(queue, context, "list", "limits and use of each project",
             [&context] { return ListQueues(context); });
  struct Flags {
    std::string project;
    double cpus = 0;
    double memory_gib = 0;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* set = AddCommand(
      queue, context, "set", "set a project's limits (0: without limit)", [&context, flags] {
        const absl::StatusOr<Session> session = context.Open();
        if (!session.ok()) return Fail(session.status());
        fabric::v1::SetQueueRequest request;
        request.mutable_queue()->set_project(flags->project);
        request.mutable_queue()->set_cpu_milli_limit(static_cast<int64_t>(flags->cpus * 1000));
        request.mutable_queue()->set_memory_bytes_limit(
            static_cast<int64_t>(flags->memory_gib * (1LL << 30)));
        const auto answer = session->Call<QueueService>(&QueueService::Stub::SetQueue, request);
        if (!answer.ok()) return Fail(answer.status());
        if (context.json()) {
          std::cout << ToJson(*answer);
          return static_cast<int>(kExitOk);
        }
        std::cout << "limits of " << flags->project << " are set\n";
        return static_cast<int>(kExitOk);
      });
  set->add_option("project", flags->project, "<business unit>/<project>")->required();
  set->add_option("--cpus", flags->cpus, "cores")->check(CLI::NonNegativeNumber);
  set->add_option("--memory-gib", flags->memory_gib, "GiB")->check(CLI::NonNegativeNumber);
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
  AddQueue(app, context);
}

}  // namespace oneai::cli
