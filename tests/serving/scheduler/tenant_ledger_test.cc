#include "serving/scheduler/tenant_ledger.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace oneai::serving {
namespace {

TEST(TenantLedgerTest, LateComerStartsLevelWithTheLeastServed) {
  TenantLedger ledger;
  const int64_t a = ledger.Enter("a");
  const int64_t b = ledger.Enter("b");
  ledger.Charge(a, 100);
  ledger.Charge(b, 70);
  EXPECT_EQ(ledger.service()[ledger.Enter("c")], 70);
}

TEST(TenantLedgerTest, IdlingEarnsNoCreditAndNoPardon) {
  TenantLedger ledger;
  const int64_t a = ledger.Enter("a");
  const int64_t b = ledger.Enter("b");
  ledger.Charge(a, 100);
  ledger.Leave(a);
  ledger.Charge(b, 40);
  EXPECT_EQ(ledger.service()[ledger.Enter("a")], 100);
  ledger.Leave(b);
  ledger.Charge(a, 10);
  EXPECT_EQ(ledger.service()[ledger.Enter("b")], 110);
}

TEST(TenantLedgerTest, ForgetsIdleTenantsButNoActiveOne) {
  TenantLedger ledger;
  const int64_t kept = ledger.Enter("kept");
  for (int i = 0; i < 3 * kTenantsRemembered; ++i)
    ledger.Leave(ledger.Enter(absl::StrCat("tenant", i)));
  EXPECT_LE(ledger.num_tenants(), kTenantsRemembered);
  EXPECT_EQ(ledger.Enter("kept"), kept);
}

}  // namespace
}  // namespace oneai::serving
