// File: serving/gateway/load_meter.cc
#include "serving/gateway/load_meter.h"

#include <algorithm>

namespace oneai::serving {

void LoadMeter::Advance(Level& level, absl::Time now) {
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(now - level.since));
  level.seconds.in_flight += static_cast<double>(level.in_flight) * seconds;
  level.seconds.queued += static_cast<double>(level.queued) * seconds;
  level.since = now;
}

LoadMeter::Level& LoadMeter::UpToNow(const std::string& endpoint) {
  const absl::Time now = clock_->Now();
  const auto [level, inserted] = levels_.try_emplace(endpoint);
  if (inserted) level->second.since = now;
  Advance(level->second, now);
  return level->second;
}

void LoadMeter::Begin(const std::string& endpoint) {
  absl::MutexLock lock(&mu_);
  ++UpToNow(endpoint).queued;
}

void LoadMeter::FirstToken(const std::string& endpoint) {
  absl::MutexLock lock(&mu_);
  Level& level = UpToNow(endpoint);
  --level.queued;
  ++level.in_flight;
}

void LoadMeter::End(const std::string& endpoint, bool answering) {
  absl::MutexLock lock(&mu_);
  Level& level = UpToNow(endpoint);
  --(answering ? level.in_flight : level.queued);
}

std::map<std::string, MeanLoad> LoadMeter::Read() {
  absl::MutexLock lock(&mu_);
  const absl::Time now = clock_->Now();
  const double seconds = absl::ToDoubleSeconds(now - last_read_);
  std::map<std::string, MeanLoad> means;
  if (seconds <= 0) return means;
  last_read_ = now;
  for (auto& [endpoint, level] : levels_) {
    Advance(level, now);
    if (level.seconds.in_flight > 0 || level.seconds.queued > 0) {
      means[endpoint] = {level.seconds.in_flight / seconds, level.seconds.queued / seconds};
    }
    level.seconds = {};
  }
  std::erase_if(levels_, [](const auto& item) {
    return item.second.in_flight == 0 && item.second.queued == 0;
  });
  return means;
}

}  // namespace oneai::serving
