#include "compute_fabric/node/sandbox.h"

#include "compute_fabric/shim/task_files.h"

namespace oneai::fabric {
namespace {

// Of /run, which holds other services' sockets, only what programs need to resolve names and to
// find the driver.
constexpr const char* kRunNeeded[] = {
    "/run/systemd/resolve",     "/run/resolvconf",    "/run/nscd",
    "/run/nvidia-persistenced", "/run/opengl-driver", "/run/nvidia-topologyd"};

class Arguments {
 public:
  explicit Arguments(const std::string& program) : list_({program}) {}
  void Add(std::initializer_list<std::string> arguments) {
    list_.insert(list_.end(), arguments.begin(), arguments.end());
  }
  void Bind(const char* how, const std::string& path) {
    if (!path.empty()) Add({how, path, path});
  }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

}  // namespace

std::vector<std::string> SandboxCommand(const SandboxOptions& options, const SandboxedTask& task) {
  Arguments arguments(options.bwrap);
  arguments.Add({"--unshare-pid", "--unshare-ipc", "--as-pid-1", "--die-with-parent", "--cap-drop",
                 "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"});
  if (!task.shm_dir.empty()) arguments.Add({"--bind", task.shm_dir, "/dev/shm"});
  for (const auto* nodes : {&options.device_nodes, &task.device_nodes}) {
    for (const std::string& node : *nodes) arguments.Bind("--dev-bind-try", node);
  }
  arguments.Add({"--tmpfs", "/run"});
  for (const char* path : kRunNeeded) arguments.Bind("--ro-bind-try", path);
  arguments.Add({"--bind", task.tmp_dir, "/tmp", "--bind-try", task.tmp_dir, "/var/tmp"});
  // What covers comes first, then what shows through.
  for (const std::string& path : options.hidden) {
    // A name that ends in '/' is a folder (isolation.h sees to it).
    if (path.back() == '/') {
      arguments.Add({"--tmpfs", path});
    } else {
      arguments.Add({"--ro-bind", "/dev/null", path});
    }
  }
  arguments.Add({"--tmpfs", options.state_dir});
  arguments.Bind("--ro-bind", options.bin_dir);
  for (const std::string& path : options.readable) arguments.Bind("--ro-bind-try", path);
  for (const std::string& path : options.writable) arguments.Bind("--bind-try", path);
  arguments.Bind("--ro-bind-try", task.registry_dir);
  arguments.Bind("--bind-try", task.artifact_dir);
  arguments.Bind("--bind-try", task.cache_dir);
  arguments.Bind("--bind", task.task_dir);
  // What the agent believes of a task must not be the task's to write.
  for (const char* file : {kLaunchFile, kShimFile, kStartedFile}) {
    arguments.Bind("--ro-bind-try", task.task_dir + "/" + file);
  }
  arguments.Add({"--chdir", task.task_dir});
  return arguments.Take();
}

}  // namespace oneai::fabric
