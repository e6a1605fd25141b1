#include "base/metrics/metrics.h"

#include <prometheus/counter.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace oneai {
namespace {

TEST(MetricsTest, ServesTheTextFormat) {
  auto& family = prometheus::BuildCounter()
                     .Name("oneai_test_events_total")
                     .Help("Events seen by this test")
                     .Register(MetricsRegistry());
  family.Add({{"kind", "a"}}).Increment(3);
  const HttpResponse response = MetricsResponse();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.headers, ::testing::Contains(::testing::Pair(
                                    "content-type", "text/plain; version=0.0.4; charset=utf-8")));
  EXPECT_THAT(response.body, ::testing::HasSubstr("# TYPE oneai_test_events_total counter"));
  EXPECT_THAT(response.body, ::testing::HasSubstr("oneai_test_events_total{kind=\"a\"} 3"));
}

}  // namespace
}  // namespace oneai
