#include "compute_fabric/scheduler/score/share_prices.h"

#include <algorithm>

#include "compute_fabric/scheduler/score/linear_program.h"

namespace oneai::fabric {
namespace {

// Rounds of adding the set that breaks the prices most. Convergence takes a few dozen; the prices
// are usable after any number.
constexpr int kRoundsMax = 500;
constexpr double kTolerance = 1e-9;

// The dearest set of shares for every size of rest, and the share that it ends with (-1: none).
void FillKnapsack(const std::vector<int32_t>& shares, const std::vector<double>& prices,
                  std::vector<double>& worth, std::vector<int>& last) {
  worth.assign(kWholeDevice + 1, 0);
  last.assign(kWholeDevice + 1, -1);
  for (int32_t left = 1; left <= kWholeDevice; ++left) {
    worth[left] = worth[left - 1];
    for (size_t i = 0; i < shares.size(); ++i) {
      if (shares[i] > left) continue;
      const double candidate = worth[left - shares[i]] + prices[i];
      if (candidate > worth[left] + kTolerance) {
        worth[left] = candidate;
        last[left] = static_cast<int>(i);
      }
    }
  }
}

}  // namespace

SharePrices::SharePrices(const std::map<int32_t, double>& demand)
    : worth_(kWholeDevice + 1, 0.0), price_(kWholeDevice + 1, 0.0) {
  if (demand.empty()) return;
  LinearProgram program;
  std::vector<int32_t> shares;
  for (const auto& [milli, times] : demand) {
    shares.push_back(milli);
    program.objective.push_back(times);
  }
  // A set of shares that fits on a device is worth at most 1. There are too many sets to list:
  // start with those of one share, and add what the prices so far overlook.
  for (size_t i = 0; i < shares.size(); ++i) {
    std::vector<double> set(shares.size(), 0.0);
    set[i] = kWholeDevice / shares[i];
    program.rows.push_back(std::move(set));
    program.bounds.push_back(1);
  }
  std::vector<double> prices;
  std::vector<int> last;
  for (int round = 0; round < kRoundsMax; ++round) {
    prices = Maximize(program).x;
    FillKnapsack(shares, prices, worth_, last);
    if (worth_[kWholeDevice] <= 1 + 1e-6) break;
    std::vector<double> set(shares.size(), 0.0);
    for (int32_t left = kWholeDevice; left > 0;) {
      if (last[left] < 0) {
        --left;
      } else {
        set[last[left]] += 1;
        left -= shares[last[left]];
      }
    }
    program.rows.push_back(std::move(set));
    program.bounds.push_back(1);
  }
  for (int32_t milli = 0; milli <= kWholeDevice; ++milli) price_[milli] = worth_[milli];
  for (size_t i = 0; i < shares.size(); ++i) price_[shares[i]] = prices[i];
  // A device that is still whole is worth a whole task.
  worth_[kWholeDevice] = 1;
}

}  // namespace oneai::fabric
