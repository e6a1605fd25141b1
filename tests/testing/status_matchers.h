// Matchers for absl::Status and StatusOr. There is deliberately no "is not OK": assert the specific code.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai::testing {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

// Matches an OK status.
MATCHER(IsOk, "is OK") {
  *result_listener << GetStatus(arg);
  return GetStatus(arg).ok();
}

// Matches a status with exactly this code and a message that the inner matcher accepts.
MATCHER_P2(StatusIs, code, message, "") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status;
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()), result_listener);
}

}  // namespace oneai::testing

#define ASSERT_OK(expr) ASSERT_THAT((expr), ::oneai::testing::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT((expr), ::oneai::testing::IsOk())

#define ONEAI_TEST_CONCAT_INNER(a, b) a##b
#define ONEAI_TEST_CONCAT(a, b) ONEAI_TEST_CONCAT_INNER(a, b)
// Declares `lhs` from a StatusOr, or fails the test with its error.
#define ASSERT_OK_AND_ASSIGN(lhs, expr)                                          \
  auto ONEAI_TEST_CONCAT(_or_, __LINE__) = (expr);                               \
  ASSERT_THAT(ONEAI_TEST_CONCAT(_or_, __LINE__), ::oneai::testing::IsOk());      \
  lhs = std::move(ONEAI_TEST_CONCAT(_or_, __LINE__)).value()
