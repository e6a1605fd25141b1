// File: compute_fabric/scheduler/score/share_prices.h
//
// What shares of a device are worth once one knows which of them fill a device together.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "compute_fabric/scheduler/cluster/resources.h"

namespace oneai::fabric {

// The dual of cutting stock (Gilmore and Gomory, 1961): prices of the shares in demand, such that
// no set of them that fits on one device is worth more than 1, and the demand is worth as many
// devices as it needs when packed as well as can be. 810 of 1,000 with nothing to fill the rest has
// price 1; two halves have 0.5 each; what only ever fills such rests has 0. Immutable.
class SharePrices {
 public:
  // `demand`: how often each share (milli, 1 .. 999) is asked for, in any unit. Empty: no share has
  // a price, and no regret.
  explicit SharePrices(const std::map<int32_t, double>& demand);

  // The most that shares in demand could be worth on what is left of a device.
  double Worth(int32_t left_milli) const { return worth_[left_milli]; }
  // Worth that a device with `left_milli` loses beyond the price of what is put there: 0 is a
  // perfect fit. A share that nobody has asked for is priced as what could have filled its place.
  double Regret(int32_t left_milli, int32_t share_milli) const {
    return worth_[left_milli] - worth_[left_milli - share_milli] - price_[share_milli];
  }

 private:
  std::vector<double> worth_;  // by milli, 0 .. kWholeDevice
  std::vector<double> price_;
};

}  // namespace oneai::fabric
