// File: base/status.h
//
// The two macros through which every fallible call in oneai passes its error on, and the one
// function that adds context to an error. Codes mean one thing each:
//   InvalidArgument fix the call; NotFound no such object; FailedPrecondition fix the state;
//   ResourceExhausted quota or memory; Aborted re-read and retry; Unavailable retry as is;
//   DataLoss checksum; Unauthenticated / PermissionDenied who you are / what you may do; Internal
//   our bug.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace oneai {

// Returns `status` with `context` put before its message ("context: message"), keeping code and
// payloads. An OK status is returned unchanged.
absl::Status Annotate(absl::Status status, absl::string_view context);

}  // namespace oneai

// Returns from the enclosing function when `expr` (an absl::Status) is not OK.
#define RETURN_IF_ERROR(expr)                                                           \
  do {                                                                                  \
    if (absl::Status _oneai_status = (expr); !_oneai_status.ok()) return _oneai_status; \
  } while (false)

#define ONEAI_CONCAT_INNER(a, b) a##b
#define ONEAI_CONCAT(a, b) ONEAI_CONCAT_INNER(a, b)

// ASSIGN_OR_RETURN(auto x, F()): declares or assigns `lhs` from a StatusOr, or returns its error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ONEAI_ASSIGN_OR_RETURN(ONEAI_CONCAT(_oneai_or_, __LINE__), lhs, expr)
#define ONEAI_ASSIGN_OR_RETURN(tmp, lhs, expr)   \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = std::move(tmp).value()
