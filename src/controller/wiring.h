// File: controller/wiring.h
//
// The functions through which the fabric asks packages that it may not include: may this job read
// that data, which kinds of jobs are there, which folder holds that model.
#pragma once

#include "base/auth/pki.h"
#include "compute_fabric/controller/hooks.h"
#include "data_gov/audit/audit_log.h"
#include "data_gov/service/data_service.h"
#include "model_platform/registry/model_registry.h"

namespace oneai {

// The pointers must outlive the hooks.
fabric::ControllerHooks MakeHooks(gov::DataGovernance* governance,
                                  platform::ModelRegistry* registry, gov::AuditLog* audit,
                                  CertificateAuthority ca);

}  // namespace oneai
