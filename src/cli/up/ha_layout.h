// File: cli/up/ha_layout.h
//
// What `oneai up --ha` adds to the plan of a one-machine fabric: three members of Debian's etcd and
// three controllers over it.
//
//   <dir>/etcd/pki       etcd's own CA: the fabric's certifies nodes and jobs, which etcd must not
//   let in <dir>/etcd/etcd-a    data of a member <dir>/controller-a   state of a controller
//   (little: where it serves) <dir>/controller     artifacts, models, data and logs: what all
//   controllers share
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/up/layout.h"

namespace oneai::cli {

inline constexpr int kNumReplicas = 3;

// Where etcd lies. FailedPrecondition: it is not installed (says how to).
absl::StatusOr<std::string> FindEtcd();

// Ports from port_base: controllers 0..2, etcd's clients 20..22, its members among themselves
// 30..32.
std::vector<Component> PlanEtcd(const UpOptions& options, const std::string& etcd);
// "127.0.0.1:7420,127.0.0.1:7421,...": what controllers are told.
std::string EtcdAddresses(const UpOptions& options);
TlsFiles EtcdTlsFiles(const std::filesystem::path& dir, const std::string& name);

// Makes etcd's folders, CA and certificates where they are absent or expire soon.
absl::Status PrepareEtcd(const std::filesystem::path& dir);

// FailedPrecondition: the folder holds the state of a fabric of the other kind, which `up` does not
// move over.
absl::Status CheckKindOfFolder(const std::filesystem::path& dir, bool ha);

}  // namespace oneai::cli
