#include "compute_fabric/shim/seccomp_filter.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/files/files.h"

namespace oneai::fabric {
namespace {

// The machine: its mounts, modules, kernel, clock, swap, name, accounting, ports. Then what would
// reach beyond the task: other namespaces, kernel keyrings, eBPF, handles that bypass paths. The
// list follows Docker's default profile (moby, profiles/seccomp), less what training needs.
constexpr const char* kMachine[] = {"_sysctl",
                                    "acct",
                                    "add_key",
                                    "adjtimex",
                                    "bpf",
                                    "chroot",
                                    "clock_adjtime",
                                    "clock_settime",
                                    "create_module",
                                    "delete_module",
                                    "finit_module",
                                    "fsconfig",
                                    "fsmount",
                                    "fsopen",
                                    "fspick",
                                    "init_module",
                                    "io_uring_setup",
                                    "ioperm",
                                    "iopl",
                                    "kexec_file_load",
                                    "kexec_load",
                                    "keyctl",
                                    "lookup_dcookie",
                                    "mount",
                                    "mount_setattr",
                                    "move_mount",
                                    "nfsservctl",
                                    "open_by_handle_at",
                                    "open_tree",
                                    "pivot_root",
                                    "quotactl",
                                    "quotactl_fd",
                                    "reboot",
                                    "request_key",
                                    "setdomainname",
                                    "sethostname",
                                    "setns",
                                    "settimeofday",
                                    "swapoff",
                                    "swapon",
                                    "syslog",
                                    "umount",
                                    "umount2",
                                    "unshare",
                                    "userfaultfd",
                                    "vhangup"};
constexpr const char* kOthersProcesses[] = {
    "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"};

// A child of the task may not get namespaces of its own either: with a user namespace it would hold
// every capability in there.
constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

int AddRules(scmp_filter_ctx filter, SeccompMode mode) {
  const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
  for (const std::string& name : DeniedSystemCalls(mode)) {
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;  // not of this architecture
    const int error = seccomp_rule_add(filter, refuse, number, 0);
    if (error != 0 && error != -EDOM) return error;
  }
  for (int bit = 0; bit < 32; ++bit) {
    const uint64_t flag = kNamespaceFlags & (uint64_t{1} << bit);
    if (flag == 0) continue;
    const int error = seccomp_rule_add(filter, refuse, SCMP_SYS(clone), 1,
                                       SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    if (error != 0) return error;
  }
  // Its flags are in memory, where a filter cannot look; C libraries fall back to clone.
  if (const int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0)) {
    return error;
  }
  // Typing into a terminal that somebody else reads.
  return seccomp_rule_add(filter, refuse, SCMP_SYS(ioctl), 1,
                          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
}

}  // namespace

absl::string_view SeccompModeName(SeccompMode mode) {
  switch (mode) {
    case SeccompMode::kOff:
      return "off";
    case SeccompMode::kOwnProcesses:
      return "own-processes";
    case SeccompMode::kAllProcesses:
      return "all-processes";
  }
  return "";
}

absl::StatusOr<SeccompMode> ParseSeccompMode(absl::string_view name) {
  for (SeccompMode mode :
       {SeccompMode::kOff, SeccompMode::kOwnProcesses, SeccompMode::kAllProcesses}) {
    if (name == SeccompModeName(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("seccomp mode '", name, "': must be off, own-processes or all-processes"));
}

std::vector<std::string> DeniedSystemCalls(SeccompMode mode) {
  std::vector<std::string> names;
  if (mode == SeccompMode::kOff) return names;
  names.assign(std::begin(kMachine), std::end(kMachine));
  if (mode == SeccompMode::kAllProcesses) {
    names.insert(names.end(), std::begin(kOthersProcesses), std::end(kOthersProcesses));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::vector<sock_filter>> BuildSeccompProgram(SeccompMode mode) {
  if (mode == SeccompMode::kOff) return std::vector<sock_filter>();
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return absl::UnavailableError("libseccomp cannot start a filter");
  const absl::Cleanup release = [filter] { seccomp_release(filter); };
  seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
  if (const int error = AddRules(filter, mode); error != 0) {
    return ErrnoStatus(-error, "libseccomp: adding the rules");
  }
  const int fd = memfd_create("seccomp", MFD_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "memfd_create");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  if (const int error = seccomp_export_bpf(filter, fd); error != 0) {
    return ErrnoStatus(-error, "libseccomp: exporting the filter");
  }
  const off_t size = lseek(fd, 0, SEEK_END);
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  if (pread(fd, program.data(), size, 0) != size) return ErrnoStatus(errno, "reading the filter");
  return program;
}

int InstallSeccompProgram(const std::vector<sock_filter>& program) {
  if (program.empty()) return 0;
  const sock_fprog kernel_program = {static_cast<unsigned short>(program.size()),
                                     const_cast<sock_filter*>(program.data())};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &kernel_program) == 0 ? 0 : errno;
}

bool KernelHasSeccomp() {
  const uint32_t action = SECCOMP_RET_ERRNO;
  return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

}  // namespace oneai::fabric
