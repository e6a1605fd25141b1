#include "tests/compute_fabric/slurm/slurm_cluster.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files/files.h"
#include "base/process/child_process.h"
#include "base/status.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kStartMax = absl::Seconds(40);

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  const std::string full = name;
  return full.substr(0, full.find('.'));
}

// Ports that were free a moment ago: all are open at once, so that they differ.
std::vector<int> FreePorts(int count) {
  std::vector<int> fds;
  std::vector<int> ports;
  for (int i = 0; i < count; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
      ports.push_back(ntohs(address.sin_port));
    }
    fds.push_back(fd);
  }
  for (const int fd : fds) close(fd);
  return ports;
}

std::string ProgramPath(const std::string& name) {
  for (const char* dir : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    if (access((dir + name).c_str(), X_OK) == 0) return dir + name;
  }
  return "";
}

}  // namespace

std::string SlurmCluster::WhyNot() {
  for (const char* program : {"munged", "slurmctld", "slurmd", "sbatch"}) {
    if (ProgramPath(program).empty()) return absl::StrCat(program, " is not installed");
  }
  if (geteuid() != 0) return "needs root, for the node daemons";
  std::error_code error;
  if (std::filesystem::is_empty("/sys/fs/cgroup", error) || error)
    return "no cgroup file system in /sys/fs/cgroup, without which slurmd does not start";
  return "";
}

absl::StatusOr<std::unique_ptr<SlurmCluster>> SlurmCluster::Start(const std::filesystem::path& dir,
                                                                  const Shape& shape) {
  auto cluster = absl::WrapUnique(new SlurmCluster(dir, shape));
  RETURN_IF_ERROR(cluster->WriteFiles());
  const std::string munge = (dir / "munge").string();
  RETURN_IF_ERROR(cluster->StartDaemon(
      "munged",
      {ProgramPath("munged"), "--foreground", "--force", "--num-threads=2",
       absl::StrCat("--socket=", munge, ".socket"), absl::StrCat("--key-file=", munge, ".key"),
       absl::StrCat("--pid-file=", munge, ".pid"), absl::StrCat("--seed-file=", munge, ".seed"),
       absl::StrCat("--log-file=", munge, ".log")}));
  const absl::Time deadline = absl::Now() + kStartMax;
  while (!std::filesystem::exists(munge + ".socket") && absl::Now() < deadline)
    absl::SleepFor(absl::Milliseconds(20));
  RETURN_IF_ERROR(cluster->StartController());
  for (int i = 1; i <= shape.num_nodes; ++i)
    RETURN_IF_ERROR(cluster->StartNode(absl::StrCat("n", i)));
  RETURN_IF_ERROR(cluster->WaitUntilIdle());
  return cluster;
}

SlurmCluster::~SlurmCluster() {
  // munged last: the others need it to say goodbye.
  while (!daemons_.empty()) KillDaemon(daemons_.back().name);
}

SlurmOptions SlurmCluster::options() const {
  return {.config_file = config_file().string(),
          .timeout = absl::Seconds(20),
          .env = {{"PATH", "/usr/bin:/bin:/usr/sbin:/sbin"}}};
}

absl::Status SlurmCluster::WriteFiles() {
  for (const char* name : {"state", "spool", "log", "dev"})
    std::filesystem::create_directories(dir_ / name);
  for (int i = 0; i < shape_.gpus; ++i) {
    // Slurm hands out only character devices; these are /dev/null's (1, 3).
    const std::string file = (dir_ / "dev" / absl::StrCat("nvidia", i)).string();
    if (mknod(file.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 && errno != EEXIST)
      return ErrnoStatus(errno, file);
  }
  const std::vector<int> ports = FreePorts(shape_.num_nodes + 1);
  const std::string host = HostName();
  const std::string d = dir_.string();
  std::string conf = absl::StrCat(
      "ClusterName=sim\nSlurmctldHost=", host, "(127.0.0.1)\nSlurmctldPort=", ports[0],
      "\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nAuthInfo=socket=", d,
      "/munge.socket\nStateSaveLocation=", d, "/state\nSlurmdSpoolDir=", d,
      "/spool/%n\nSlurmctldPidFile=", d, "/slurmctld.pid\nSlurmdPidFile=", d,
      "/slurmd.%n.pid\nSlurmctldLogFile=", d, "/log/slurmctld.log\nSlurmdLogFile=", d,
      "/log/slurmd.%n.log\nProctrackType=proctrack/pgid\nTaskPlugin=task/none\n"
      "JobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n"
      "MpiDefault=none\nReturnToService=2\nSchedulerType=sched/backfill\nSlurmdTimeout=10\n"
      "SchedulerParameters=sched_interval=1,bf_interval=2,default_queue_depth=1000,batch_sched_"
      "delay=0\n"
      "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\nDefMemPerCPU=100\n"
      "SlurmdParameters=config_overrides\nKillWait=5\nGresTypes=gpu\n");
  for (int i = 1; i <= shape_.num_nodes; ++i) {
    absl::StrAppend(&conf, "NodeName=n", i, " NodeHostname=", host,
                    " NodeAddr=127.0.0.1 Port=", ports[i], " CPUs=", shape_.cpus,
                    " RealMemory=", shape_.memory_megabytes, " Gres=gpu:", shape_.gpu_type, ":",
                    shape_.gpus, " State=UNKNOWN\n");
  }
  absl::StrAppend(&conf, "PartitionName=batch Nodes=n[1-", shape_.num_nodes,
                  "] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO\n");
  RETURN_IF_ERROR(WriteFileAtomically(dir_ / "slurm.conf", conf));
  RETURN_IF_ERROR(WriteFileAtomically(
      dir_ / "gres.conf",
      absl::StrCat("NodeName=n[1-", shape_.num_nodes, "] Name=gpu Type=", shape_.gpu_type,
                   " File=", d, "/dev/nvidia[0-", shape_.gpus - 1, "]\n")));
  return WriteFileAtomically(dir_ / "munge.key", std::string(1024, 'k'), 0600);
}

absl::Status SlurmCluster::StartDaemon(const std::string& name, std::vector<std::string> argv) {
  ChildOptions child;
  child.argv = std::move(argv);
  child.env = options().env;
  child.env["SLURM_CONF"] = config_file().string();
  child.output_file = (dir_ / "log" / (name + ".out")).string();
  child.die_with_parent = true;
  ASSIGN_OR_RETURN(const pid_t pid, SpawnChild(child));
  daemons_.push_back({name, pid});
  return absl::OkStatus();
}

void SlurmCluster::KillDaemon(const std::string& name) {
  const auto it = std::find_if(daemons_.begin(), daemons_.end(),
                               [&](const Daemon& d) { return d.name == name; });
  if (it == daemons_.end()) return;
  kill(it->pid, SIGKILL);
  while (waitpid(it->pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  daemons_.erase(it);
}

absl::Status SlurmCluster::StartController() {
  return StartDaemon("slurmctld", {ProgramPath("slurmctld"), "-D", "-f", config_file().string()});
}

void SlurmCluster::KillController() { KillDaemon("slurmctld"); }

absl::Status SlurmCluster::StartNode(const std::string& node) {
  std::filesystem::create_directories(dir_ / "spool" / node);
  return StartDaemon(node, {ProgramPath("slurmd"), "-D", "-f", config_file().string(), "-N", node});
}

void SlurmCluster::KillNode(const std::string& node) { KillDaemon(node); }

absl::Status SlurmCluster::WaitUntilIdle() const {
  const SlurmClient client(options());
  const absl::Time deadline = absl::Now() + kStartMax;
  absl::StatusOr<std::vector<SlurmNode>> nodes;
  while (absl::Now() < deadline) {
    nodes = client.ListNodes();
    const bool all = nodes.ok() && static_cast<int>(nodes->size()) == shape_.num_nodes &&
                     std::all_of(nodes->begin(), nodes->end(),
                                 [](const SlurmNode& n) { return n.in_service(); });
    if (all) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(100));
  }
  return absl::DeadlineExceededError(
      absl::StrCat("Slurm's nodes did not become idle: ", nodes.status().ToString(), "; see ",
                   (dir_ / "log").string()));
}

}  // namespace oneai::fabric
