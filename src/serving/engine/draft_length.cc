#include "serving/engine/drafter.h"

namespace oneai::serving {
namespace {

constexpr double kMemory = 0.9;  // weight of the past at each guess

}  // namespace

int64_t DraftLength::Next(double cost) {
  int64_t best = 0;
  double best_speed = 1, tokens = 1, reach = 1;
  for (int64_t k = 1; k <= length_max_; ++k) {
    reach *= share_right_;
    tokens += reach;
    const double speed = tokens / (1 + cost * static_cast<double>(k));
    if (speed > best_speed) {
      best_speed = speed;
      best = k;
    }
  }
  if (best > 0 || length_max_ == 0) {
    num_pauses_ = 0;
    return best;
  }
  if (++num_pauses_ < kDraftPause) return 0;
  num_pauses_ = 0;
  return 1;
}

// Guesses after the first wrong one say nothing: they were not looked at.
void DraftLength::Record(int64_t num_proposed, int64_t num_right) {
  for (int64_t i = 0; i < num_right; ++i) share_right_ = kMemory * share_right_ + (1 - kMemory);
  if (num_right < num_proposed) share_right_ *= kMemory;
}

}  // namespace oneai::serving
