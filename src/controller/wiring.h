// File: controller/wiring.h
//
// The functions through which the fabric asks packages that it may not include: may this job read
// that data, which kinds of jobs are there, which folder holds that model, who is a job.
#pragma once

#include <filesystem>

#include "base/auth/pki.h"
#include "base/grpc/authenticator.h"
#include "base/store/store.h"
#include "compute_fabric/controller/hooks.h"
#include "data_gov/audit/audit_log.h"
#include "data_gov/service/data_service.h"
#include "model_platform/registry/model_registry.h"

namespace oneai {

// A job reads data as its project's business unit: the submitter was checked for that unit when the
// job came in.
Identity JobIdentity(const std::string& job_id, const std::string& project,
                     const std::string& submitter);

// Who a certificate spiffe://oneai/job/<id> stands for, from the stored job. NotFound: no such job,
// or it has ended.
JobIdentityResolver ResolveJobFrom(const Store* store);

// The pointers must outlive the hooks.
fabric::ControllerHooks MakeHooks(gov::DataGovernance* governance,
                                  platform::ModelRegistry* registry, gov::AuditLog* audit,
                                  CertificateAuthority ca);

}  // namespace oneai
