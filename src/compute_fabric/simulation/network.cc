#include "compute_fabric/simulation/network.h"

namespace oneai::fabric::simulation {

void Network::Send(const std::string& from, const std::string& to, std::function<void()> deliver) {
  if (IsCut(from, to)) return;
  Random& random = simulator_->random();
  if (random.Chance(quality_.loss)) return;
  if (random.Chance(quality_.repeat)) Deliver(deliver);
  Deliver(std::move(deliver));
}

void Network::Deliver(std::function<void()> deliver) {
  Random& random = simulator_->random();
  const absl::Duration delay_max =
      random.Chance(quality_.straggle) ? absl::Seconds(60) : quality_.delay_max;
  simulator_->After(random.Between(absl::Microseconds(50), delay_max), std::move(deliver));
}

}  // namespace oneai::fabric::simulation
