#include "compute_fabric/slurm/slurm_agents.h"

#include <atomic>
#include <thread>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/grpc/channel.h"
#include "base/log/log.h"
#include "base/process/child_process.h"
#include "base/status.h"
#include "compute_fabric/node/agent.h"
#include "compute_fabric/slurm/slurm_shims.h"

namespace oneai::fabric {
namespace {

// Without an answer from Slurm for so long nobody knows whether a node takes jobs.
constexpr absl::Duration kSilenceMax = absl::Seconds(30);

}  // namespace

// Everything that one node's agent needs, and its thread.
class SlurmAgents::NodeAgent {
 public:
  static absl::StatusOr<std::unique_ptr<NodeAgent>> Start(const SlurmAgentsOptions& options,
                                                          const SlurmNode& node, v1::NodeInfo info,
                                                          SlurmPool* slurm) {
    auto agent = absl::WrapUnique(new NodeAgent(node.name, slurm));
    RETURN_IF_ERROR(agent->Open(options, node, std::move(info)));
    agent->thread_ =
        std::thread([raw = agent.get()] { raw->agent_->Run(raw->stop_, ExitPolicy::kLeaveTasks); });
    return agent;
  }

  ~NodeAgent() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    if (logs_ != nullptr) logs_->Stop();
    health_.Stop();
  }

 private:
  NodeAgent(std::string node, SlurmPool* slurm)
      : node_(std::move(node)),
        slurm_(slurm),
        health_({[this] { return Broken(); }}, ProbeOptions{}) {}

  absl::Status Open(const SlurmAgentsOptions& options, const SlurmNode& node, v1::NodeInfo info) {
    const std::filesystem::path dir = options.state_dir / node.name;
    std::error_code error;
    std::filesystem::create_directories(dir, error);
    if (error) return ErrnoStatus(error.value(), dir.string());
    ASSIGN_OR_RETURN(lock_, StateLock::Take(dir));
    ASSIGN_OR_RETURN(EpochFence epoch, EpochFence::Open(dir / "epoch"));
    epoch_ = std::make_unique<EpochFence>(std::move(epoch));
    lease_ = std::make_unique<AgentLease>(dir / "lease");
    lease_->Touch(absl::Now());
    shims_ = std::make_unique<SlurmShims>(
        slurm_, SlurmShims::Node{node.name, options.shim_program, DevicesOf(node)});
    TaskTableOptions tasks;
    tasks.state_dir = dir;
    tasks.bin_dir = options.bin_dir;
    tasks.lease_file = lease_->file().string();
    tasks.fence = options.fence;
    tasks.node = {.name = info.name(),
                  .address = info.address(),
                  .controller = options.controller,
                  .base_env = BaseEnvironment(CurrentEnvironment())};
    ASSIGN_OR_RETURN(tasks_, TaskTable::Open(std::move(tasks), shims_.get(), &isolation_));
    const std::shared_ptr<grpc::Channel> channel = NewChannel(options.controller, options.tls);
    logs_ = std::make_unique<LogShipper>(channel);
    logs_->Start();
    health_.Start();
    agent_ = std::make_unique<Agent>(std::move(info), channel, tasks_.get(), epoch_.get(),
                                     lease_.get(), logs_.get(), &health_);
    return absl::OkStatus();
  }

  // The whole node, when Slurm does not let jobs in or says nothing.
  std::map<std::string, std::string> Broken() const {
    const absl::Duration silence = absl::Now() - slurm_->heard();
    if (silence > kSilenceMax) {
      return {{"slurm", absl::StrCat("Slurm has not answered for ",
                                     absl::FormatDuration(absl::Trunc(silence, kSilenceMax)))}};
    }
    for (const SlurmNode& node : slurm_->nodes()) {
      if (node.name != node_) continue;
      const std::string why = OutOfService(node);
      if (why.empty()) return {};
      return {{"slurm", why}};
    }
    return {{"slurm", "Slurm has no such node any more"}};
  }

  const std::string node_;
  SlurmPool* const slurm_;
  std::atomic<bool> stop_ = false;
  HealthMonitor health_;
  const Isolation isolation_ = Isolation::None();
  std::unique_ptr<StateLock> lock_;
  std::unique_ptr<EpochFence> epoch_;
  std::unique_ptr<AgentLease> lease_;
  std::unique_ptr<SlurmShims> shims_;
  std::unique_ptr<TaskTable> tasks_;
  std::unique_ptr<LogShipper> logs_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
};

SlurmAgents::SlurmAgents(SlurmAgentsOptions options, SlurmPool* slurm)
    : options_(std::move(options)), slurm_(slurm) {}
SlurmAgents::~SlurmAgents() = default;

absl::Status SlurmAgents::Reconcile() {
  const std::vector<SlurmNode> nodes = slurm_->nodes();
  ASSIGN_OR_RETURN(std::vector<v1::NodeInfo> infos, DescribeNodes(nodes, options_.pool));
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto running = agents_.find(nodes[i].name);
    if (!nodes[i].responding || nodes[i].state == "down") {
      if (running == agents_.end()) continue;
      Log::Warning("a Slurm node is gone; its agent falls silent", {{"node", nodes[i].name}});
      agents_.erase(running);
      continue;
    }
    if (running != agents_.end()) continue;
    ASSIGN_OR_RETURN(agents_[nodes[i].name],
                     NodeAgent::Start(options_, nodes[i], std::move(infos[i]), slurm_));
    Log::Info("a Slurm node joins", {{"node", nodes[i].name}});
  }
  return absl::OkStatus();
}

}  // namespace oneai::fabric
