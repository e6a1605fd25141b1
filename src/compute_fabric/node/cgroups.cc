// File: compute_fabric/node/cgroups.cc
#include "compute_fabric/node/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace oneai::fabric {
namespace {

const std::vector<std::string>& Controllers() {
  static const auto* controllers = new std::vector<std::string>{"memory", "cpu", "pids"};
  return *controllers;
}

bool WriteValue(const std::string& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  return close(fd) == 0 && written;
}

// This process's path in the hierarchy whose line of `self` names `controller` ("" for v2).
std::string OwnPath(const std::string& self, absl::string_view controller) {
  std::ifstream in(self);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> names = absl::StrSplit(parts[1], ',');
    if (std::find(names.begin(), names.end(), controller) != names.end()) return parts[2];
  }
  return "/";
}

// A container may see its hierarchy from below: then the path of the host does not exist and the
// mount is our own.
std::string Beneath(const std::string& mount, const std::string& own_path) {
  const std::string path = own_path == "/" ? mount : mount + own_path;
  return std::filesystem::is_directory(path) ? path : mount;
}

bool MakeFolder(const std::string& folder) {
  return mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST;
}

bool ChildCanJoin(const std::string& folder) {
  const std::string procs = folder + "/cgroup.procs";
  const pid_t pid = fork();
  if (pid == 0) {
    const int fd = open(procs.c_str(), O_WRONLY);
    _exit(fd >= 0 && write(fd, "0", 1) == 1 ? 0 : 1);
  }
  int status = 0;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// nullopt: tasks can be put into children of `folder`. Otherwise why not.
std::optional<std::string> WhyNotUsable(const CgroupSystem& system, const std::string& folder) {
  const std::string probe = folder + "/probe";
  if (!system.make_folder(probe)) {
    return absl::StrCat("cannot create ", probe, ": ", std::strerror(errno));
  }
  const bool can_join = system.can_join(probe);
  rmdir(probe.c_str());
  if (!can_join) return absl::StrCat("processes cannot be moved into ", probe);
  return std::nullopt;
}

bool SetMemory(int version, const std::string& folder, int64_t bytes) {
  if (bytes <= 0) return true;
  const std::string value = absl::StrCat(bytes);
  if (version == 1) {
    const bool set = WriteValue(folder + "/memory.limit_in_bytes", value);
    // Memory and swap together; absent where swap is not accounted for.
    WriteValue(folder + "/memory.memsw.limit_in_bytes", value);
    return set;
  }
  const bool set = WriteValue(folder + "/memory.max", value);
  WriteValue(folder + "/memory.swap.max", "0");
  // A task that lost one process to the limit is of no use: all of it ends.
  WriteValue(folder + "/memory.oom.group", "1");
  return set;
}

bool SetCpu(int version, const std::string& folder, int64_t cpu_milli, bool hard) {
  if (cpu_milli <= 0) return true;
  constexpr int64_t kPeriodMicros = 100'000;
  const int64_t quota_micros = cpu_milli * kPeriodMicros / 1000;
  // One core is weight 100 in v2 (1..10000) and 1024 shares in v1 (2..262144).
  if (version == 2) {
    const int64_t weight = std::clamp<int64_t>(cpu_milli / 10, 1, 10'000);
    return WriteValue(folder + "/cpu.weight", absl::StrCat(weight)) &&
           (!hard ||
            WriteValue(folder + "/cpu.max", absl::StrCat(quota_micros, " ", kPeriodMicros)));
  }
  const int64_t shares = std::clamp<int64_t>(cpu_milli * 1024 / 1000, 2, 262'144);
  return WriteValue(folder + "/cpu.shares", absl::StrCat(shares)) &&
         (!hard || (WriteValue(folder + "/cpu.cfs_period_us", absl::StrCat(kPeriodMicros)) &&
                    WriteValue(folder + "/cpu.cfs_quota_us", absl::StrCat(quota_micros))));
}

bool SetLimit(int version, const std::string& controller, const std::string& folder,
              const CgroupLimits& limits) {
  if (controller == "memory") return SetMemory(version, folder, limits.memory_bytes);
  if (controller == "cpu") return SetCpu(version, folder, limits.cpu_milli, limits.cpu_hard);
  return WriteValue(folder + "/pids.max", absl::StrCat(limits.num_processes_max));
}

// The controllers of `wanted` that could be given to the children of `folder`.
std::vector<std::string> Delegate(const std::string& folder,
                                  const std::vector<std::string>& wanted) {
  std::vector<std::string> given;
  for (const std::string& controller : wanted) {
    if (WriteValue(folder + "/cgroup.subtree_control", "+" + controller)) {
      given.push_back(controller);
    }
  }
  return given;
}

}  // namespace

CgroupSystem RealCgroups() {
  CgroupSystem system;
  system.make_folder = MakeFolder;
  system.can_join = ChildCanJoin;
  return system;
}

void CgroupTree::AddBranch(const Branch& branch) {
  for (const std::string& controller : branch.controllers) {
    enforced_.push_back(controller == "cpu" ? "cgroup-cpu-weight" : "cgroup-" + controller);
  }
  branches_.push_back(branch);
}

void CgroupTree::Miss(const std::vector<std::string>& controllers, absl::string_view why) {
  for (const std::string& controller : controllers) {
    not_enforced_.push_back(
        absl::StrCat(controller == "pids" ? "process" : controller, " limit: ", why));
  }
}

CgroupTree CgroupTree::Detect(absl::string_view node_name, CgroupSystem system) {
  CgroupTree tree(std::move(system));
  const std::string leaf = absl::StrCat("/oneai-", node_name);
  if (std::filesystem::exists(tree.system_.mount + "/cgroup.controllers")) {
    tree.DetectV2(leaf);
  } else {
    tree.DetectV1(leaf);
  }
  return tree;
}

void CgroupTree::DetectV2(const std::string& leaf) {
  const std::string own = Beneath(system_.mount, OwnPath(system_.self, ""));
  std::vector<std::string> given = Delegate(own, Controllers());
  if (given.size() < Controllers().size()) {
    // Refused while the group itself holds processes: this one may be the only one.
    const std::string agent = own + "/oneai-agent";
    if (system_.make_folder(agent) && WriteValue(agent + "/cgroup.procs", "0")) {
      given = Delegate(own, Controllers());
    }
  }
  std::vector<std::string> missing;
  const std::string folder = own + leaf;
  if (!given.empty() && system_.make_folder(folder)) given = Delegate(folder, given);
  for (const std::string& controller : Controllers()) {
    if (std::find(given.begin(), given.end(), controller) == given.end()) {
      missing.push_back(controller);
    }
  }
  Miss(missing, absl::StrCat("cgroup ", own, " is not delegated to the agent"));
  if (given.empty()) {
    rmdir(folder.c_str());
  } else if (const std::optional<std::string> why = WhyNotUsable(system_, folder)) {
    Miss(given, *why);
  } else {
    AddBranch({folder, given, 2});
  }
}

void CgroupTree::DetectV1(const std::string& leaf) {
  for (const std::string& controller : Controllers()) {
    const std::string mount = absl::StrCat(system_.mount, "/", controller);
    const std::string folder = Beneath(mount, OwnPath(system_.self, controller)) + leaf;
    system_.make_folder(folder);
    if (const std::optional<std::string> why = WhyNotUsable(system_, folder)) {
      Miss({controller}, *why);
    } else {
      AddBranch({folder, {controller}, 1});
    }
  }
}

bool CgroupTree::Enforces(absl::string_view controller) const {
  for (const Branch& branch : branches_) {
    for (const std::string& name : branch.controllers) {
      if (name == controller) return true;
    }
  }
  return false;
}

void CgroupTree::RemoveEmpty() const {
  for (const Branch& branch : branches_) rmdir(branch.folder.c_str());
}

std::vector<std::string> CgroupTree::Create(const std::string& task_name,
                                            const CgroupLimits& limits,
                                            std::vector<std::string>& problems) const {
  std::vector<std::string> folders;
  for (const Branch& branch : branches_) {
    const std::string folder = absl::StrCat(branch.folder, "/", task_name);
    if (!system_.make_folder(folder)) {
      problems.push_back(absl::StrCat("cannot create ", folder, ": ", std::strerror(errno)));
      continue;
    }
    folders.push_back(folder);
    for (const std::string& controller : branch.controllers) {
      if (!SetLimit(branch.version, controller, folder, limits)) {
        problems.push_back(absl::StrCat("cannot set the ", controller, " limit of ", folder, ": ",
                                        std::strerror(errno)));
      }
    }
  }
  return folders;
}

}  // namespace oneai::fabric
