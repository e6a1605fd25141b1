// File: model_platform/settings/names.h
//
// The words that settings files use for enum values. One table each, read in both directions.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "model_platform/settings/settings.h"

namespace oneai::platform {

template <typename E, size_t N>
using NameTable = std::array<std::pair<E, absl::string_view>, N>;

inline constexpr NameTable<LrScheduler, 2> kLrSchedulers = {
    {{LrScheduler::kCosine, "cosine"}, {LrScheduler::kWsd, "wsd"}}};
inline constexpr NameTable<LrDecay, 3> kLrDecays = {
    {{LrDecay::kLinear, "linear"}, {LrDecay::kCosine, "cosine"}, {LrDecay::kMinusSqrt, "1-sqrt"}}};
inline constexpr NameTable<WeightsDtype, 2> kWeightsDtypes = {
    {{WeightsDtype::kBfloat16, "bfloat16"}, {WeightsDtype::kFloat32, "float32"}}};

template <typename E, size_t N>
absl::string_view NameOf(const NameTable<E, N>& table, E value) {
  return std::ranges::find(table, value, &std::pair<E, absl::string_view>::first)->second;
}

// `fallback` for a name that is not in the table.
template <typename E, size_t N>
E ValueOf(const NameTable<E, N>& table, absl::string_view name, E fallback) {
  const auto found = std::ranges::find(table, name, &std::pair<E, absl::string_view>::second);
  return found == table.end() ? fallback : found->first;
}

template <typename E, size_t N>
std::vector<std::string> NamesOf(const NameTable<E, N>& table) {
  std::vector<std::string> names;
  for (const auto& [value, name] : table) names.emplace_back(name);
  return names;
}

}  // namespace oneai::platform
