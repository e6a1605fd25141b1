// File: data_gov/policy/policy.h
//
// May this principal read this dataset for this purpose? A pure decision over rules (Cedar's
// semantics: forbid beats permit, nothing is permitted by default), with the owner's allowed
// purposes as a limit that no rule can widen.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "oneai/common/v1/common.pb.h"
#include "oneai/data/v1/data.pb.h"

namespace oneai::gov {

struct AccessRequest {
  common::v1::Principal reader;
  std::string purpose;
  const data::v1::DatasetVersion* dataset = nullptr;  // never null
};

// Decides in this order, and `rule` names what decided:
//   "owner-purposes"   the owner does not allow the purpose
//   <id> of a FORBID   the first that matches, by id
//   <id> of a PERMIT   the first that matches, by id
//   "default-deny"     nothing permits it
data::v1::AccessDecision Evaluate(const std::vector<data::v1::PolicyRule>& rules,
                                  const AccessRequest& request);

// The purposes a dataset can be opened for; one vocabulary for catalog, policy and jobs.
const std::vector<std::string>& KnownPurposes();

// InvalidArgument naming the nearest known purpose.
absl::Status ValidatePurpose(const std::string& purpose);

// InvalidArgument: empty or unsafe id, no effect, unknown purpose, a forbid without a reason to
// show.
absl::Status ValidateRule(const data::v1::PolicyRule& rule);

// What a new fabric starts with: units read their own data, everybody reads public data, personal
// data never trains a model.
std::vector<data::v1::PolicyRule> DefaultRules();

// "retail" of "retail/tiny-shakespeare".
std::string UnitOf(const std::string& dataset_name);

}  // namespace oneai::gov
