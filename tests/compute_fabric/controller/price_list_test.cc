#include "compute_fabric/controller/price_list.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace oneai::fabric {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(PriceListTest, IsAMapOfPricesPerHour) {
  ASSERT_OK_AND_ASSIGN(const PricePerHour prices,
                       ParsePrices("prices: {cpu: 0.04, nvidia-h100-80g: 2.5}\n", "prices.yaml"));
  EXPECT_THAT(prices, ElementsAre(Pair("cpu", 0.04), Pair("nvidia-h100-80g", 2.5)));
}

TEST(PriceListTest, RefusesWhatIsNoPrice) {
  const std::pair<const char*, const char*> cases[] = {
      {"prices: {cpu: -1}\n", "nearest valid value is 0"},
      {"prices: {cpu: much}\n", "much is no price"},
      {"prices: {cpu: nan}\n", "nan is no price"},
      {"price: {cpu: 1}\n", "did you mean \"prices\"?"},
  };
  for (const auto& [text, hint] : cases) {
    EXPECT_THAT(ParsePrices(text, "prices.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(hint)));
  }
}

}  // namespace
}  // namespace oneai::fabric
