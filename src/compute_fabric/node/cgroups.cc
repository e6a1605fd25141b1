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

constexpr char kMount[] = "/sys/fs/cgroup";

bool WriteValue(const std::string& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  return close(fd) == 0 && written;
}

// This process's path in the hierarchy whose line of /proc/self/cgroup names `controller` ("" for
// v2).
std::string OwnPath(absl::string_view controller) {
  std::ifstream in("/proc/self/cgroup");
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
std::optional<std::string> WhyNotUsable(const std::string& folder) {
  const std::string probe = folder + "/probe";
  if (mkdir(probe.c_str(), 0755) != 0 && errno != EEXIST) {
    return absl::StrCat("cannot create ", probe, ": ", std::strerror(errno));
  }
  const bool can_join = ChildCanJoin(probe);
  rmdir(probe.c_str());
  if (!can_join) return absl::StrCat("processes cannot be moved into ", probe);
  return std::nullopt;
}

bool SetLimit(int version, const std::string& controller, const std::string& folder,
              const CgroupLimits& limits) {
  if (controller == "memory") {
    if (limits.memory_bytes <= 0) return true;
    return WriteValue(folder + (version == 2 ? "/memory.max" : "/memory.limit_in_bytes"),
                      absl::StrCat(limits.memory_bytes));
  }
  if (controller == "cpu") {
    if (limits.cpu_milli <= 0) return true;
    // One core is weight 100 in v2 (1..10000) and 1024 shares in v1 (2..262144).
    const int64_t weight = version == 2
                               ? std::clamp<int64_t>(limits.cpu_milli / 10, 1, 10'000)
                               : std::clamp<int64_t>(limits.cpu_milli * 1024 / 1000, 2, 262'144);
    return WriteValue(folder + (version == 2 ? "/cpu.weight" : "/cpu.shares"),
                      absl::StrCat(weight));
  }
  return WriteValue(folder + "/pids.max", absl::StrCat(limits.num_processes_max));
}

}  // namespace

void CgroupTree::AddBranch(const Branch& branch) {
  for (const std::string& controller : branch.controllers) {
    enforced_.push_back(controller == "cpu" ? "cgroup-cpu-weight" : "cgroup-" + controller);
  }
  branches_.push_back(branch);
}

CgroupTree CgroupTree::Detect(absl::string_view node_name) {
  CgroupTree tree;
  const std::string leaf = absl::StrCat("/oneai-", node_name);
  const bool is_v2 = std::filesystem::exists(absl::StrCat(kMount, "/cgroup.controllers"));
  const std::vector<std::string> controllers = {"memory", "cpu", "pids"};
  std::vector<Branch> wanted;
  if (is_v2) {
    const std::string own = Beneath(kMount, OwnPath(""));
    // Succeeds only where the folder is delegated to us and holds no process itself.
    const bool delegated = WriteValue(own + "/cgroup.subtree_control", "+memory +cpu +pids");
    const std::string folder = own + leaf;
    mkdir(folder.c_str(), 0755);
    if (delegated && WriteValue(folder + "/cgroup.subtree_control", "+memory +cpu +pids")) {
      wanted.push_back({folder, controllers, 2});
    } else {
      rmdir(folder.c_str());
      tree.not_enforced_.push_back(absl::StrCat("memory, cpu and process limits: cgroup ", own,
                                                " is not delegated to the agent"));
    }
  } else {
    for (const std::string& controller : controllers) {
      const std::string mount = absl::StrCat(kMount, "/", controller);
      const std::string folder = Beneath(mount, OwnPath(controller)) + leaf;
      mkdir(folder.c_str(), 0755);
      wanted.push_back({folder, {controller}, 1});
    }
  }
  for (const Branch& branch : wanted) {
    if (const std::optional<std::string> why = WhyNotUsable(branch.folder)) {
      for (const std::string& controller : branch.controllers) {
        tree.not_enforced_.push_back(absl::StrCat(controller, " limit: ", *why));
      }
    } else {
      tree.AddBranch(branch);
    }
  }
  return tree;
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
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
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
