#include "models/weights/weight_source.h"

#include <algorithm>

namespace oneai::models {

const WeightInfo* WeightSource::Find(absl::string_view name) const {
  const absl::Span<const WeightInfo> all = weights();
  const auto it = std::lower_bound(
      all.begin(), all.end(), name,
      [](const WeightInfo& info, absl::string_view wanted) { return info.name < wanted; });
  return it != all.end() && it->name == name ? &*it : nullptr;
}

}  // namespace oneai::models
