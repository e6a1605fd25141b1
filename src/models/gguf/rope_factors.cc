#include "models/gguf/rope_factors.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace oneai::models {
namespace {

constexpr double kTolerance = 1e-5;

// Turns per position of frequency `i` of `n`.
double TurnsPerPosition(double theta, int64_t i, int64_t n) {
  return std::pow(theta, -static_cast<double>(i) / static_cast<double>(n)) /
         (2.0 * std::numbers::pi);
}

bool Gives(const Llama3Scaling& scaling, absl::Span<const float> factors, double theta) {
  const std::vector<float> found =
      RopeFactors(scaling, theta, 2 * static_cast<int64_t>(factors.size()));
  for (size_t i = 0; i < factors.size(); ++i)
    if (!(std::abs(found[i] - factors[i]) <= kTolerance * factors[i])) return false;
  return true;
}

double NearestWhole(double value, double tolerance) {
  return std::abs(value - std::round(value)) < tolerance ? std::round(value) : value;
}

}  // namespace

std::vector<float> RopeFactors(const Llama3Scaling& scaling, double theta, int64_t head_dim) {
  std::vector<float> factors(head_dim / 2);
  const double low = scaling.low_frequency_factor, high = scaling.high_frequency_factor;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double turns = scaling.original_positions * TurnsPerPosition(theta, i, head_dim / 2);
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    factors[i] = static_cast<float>(1.0 / ((1.0 - kept) / scaling.factor + kept));
  }
  return factors;
}

std::optional<Llama3Scaling> Llama3ScalingOf(absl::Span<const float> factors, double theta) {
  Llama3Scaling scaling;
  if (factors.empty()) return std::nullopt;
  for (const float factor : factors)
    if (!(factor >= 1.0f) || !std::isfinite(factor)) return std::nullopt;
  scaling.factor = NearestWhole(*std::max_element(factors.begin(), factors.end()), 1e-4);
  if (scaling.factor <= 1.0) return std::nullopt;
  if (Gives(scaling, factors, theta)) return scaling;  // as published: 1, 4, 8192
  // Between the ends the kept share is a line over turns per position; two points give it.
  const int64_t n = static_cast<int64_t>(factors.size());
  int64_t first = -1, last = -1;
  for (int64_t i = 0; i < n; ++i) {
    if (factors[i] <= 1.0f + kTolerance || factors[i] >= scaling.factor * (1.0 - kTolerance))
      continue;
    if (first < 0) first = i;
    last = i;
  }
  if (first == last) return std::nullopt;
  auto kept = [&](int64_t i) {
    return (1.0 / factors[i] - 1.0 / scaling.factor) / (1.0 - 1.0 / scaling.factor);
  };
  const double x0 = TurnsPerPosition(theta, first, n), x1 = TurnsPerPosition(theta, last, n);
  const double slope = (kept(first) - kept(last)) / (x0 - x1);
  const double low = slope * x0 - kept(first);  // low / (high - low)
  if (!(slope > 0) || !(low > 0)) return std::nullopt;
  scaling.high_frequency_factor = NearestWhole(1.0 + 1.0 / low, 1e-3);
  scaling.original_positions = std::round(slope * (scaling.high_frequency_factor - 1.0));
  if (!Gives(scaling, factors, theta)) return std::nullopt;
  return scaling;
}

}  // namespace oneai::models
