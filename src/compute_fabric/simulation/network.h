// File: compute_fabric/simulation/network.h
//
// Messages between machines: late, lost, repeated, overtaking each other, or cut off.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "compute_fabric/simulation/simulator.h"

namespace oneai::fabric::simulation {

struct NetworkQuality {
  absl::Duration delay_max = absl::Milliseconds(2);
  double loss = 0;
  double repeat = 0;
  double straggle = 0;  // share of messages that take up to a minute
};

class Network {
 public:
  explicit Network(Simulator* simulator) : simulator_(simulator) {}

  // Calls `deliver` when the message arrives, which may be never or twice.
  void Send(const std::string& from, const std::string& to, std::function<void()> deliver);

  void set_quality(const NetworkQuality& quality) { quality_ = quality; }
  // One direction; messages under way arrive.
  void Cut(const std::string& from, const std::string& to) { cuts_.insert({from, to}); }
  void Heal(const std::string& from, const std::string& to) { cuts_.erase({from, to}); }
  void HealAll() { cuts_.clear(); }
  bool IsCut(const std::string& from, const std::string& to) const {
    return cuts_.contains({from, to});
  }

 private:
  void Deliver(std::function<void()> deliver);

  Simulator* const simulator_;
  NetworkQuality quality_;
  std::set<std::pair<std::string, std::string>> cuts_;
};

}  // namespace oneai::fabric::simulation
