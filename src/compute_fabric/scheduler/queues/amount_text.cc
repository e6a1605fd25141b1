#include "compute_fabric/scheduler/queues/amount_text.h"

#include "absl/strings/str_cat.h"

namespace oneai::fabric {
namespace {

// At most two decimals, none that are 0.
std::string Decimal(double value) {
  const auto hundredths = static_cast<int64_t>(value * 100 + (value < 0 ? -0.5 : 0.5));
  std::string text = absl::StrCat(hundredths / 100);
  const int64_t rest = (hundredths < 0 ? -hundredths : hundredths) % 100;
  if (rest == 0) return text;
  if (hundredths < 0 && hundredths > -100) text = "-0";
  absl::StrAppend(&text, rest < 10 ? ".0" : ".", rest % 10 == 0 ? rest / 10 : rest);
  return text;
}

}  // namespace

std::string AmountText(absl::string_view resource, int64_t amount) {
  const bool unlimited = amount == kUnlimited;
  const auto count = [&](double unit) {
    return unlimited ? std::string("unlimited") : Decimal(static_cast<double>(amount) / unit);
  };
  if (resource == kCpu) return absl::StrCat(count(1000), " cores");
  if (resource == kMemory) {
    const double gib = static_cast<double>(int64_t{1} << 30);
    // Small amounts would read as 0 GiB.
    if (!unlimited && amount > 0 && static_cast<double>(amount) < gib / 100) {
      return absl::StrCat(amount, " bytes memory");
    }
    return absl::StrCat(count(gib), " GiB memory");
  }
  return absl::StrCat(count(kWholeDevice), " ", resource);
}

std::string AmountsText(const Amounts& amounts) {
  std::string text;
  for (const auto& [resource, amount] : amounts) {
    if (amount == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", AmountText(resource, amount));
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace oneai::fabric
