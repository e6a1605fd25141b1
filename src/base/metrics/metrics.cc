#include "base/metrics/metrics.h"

#include <prometheus/text_serializer.h>

namespace oneai {

prometheus::Registry& MetricsRegistry() {
  // Never destroyed: threads that end late may still count.
  static auto* const registry = new prometheus::Registry();
  return *registry;
}

std::string MetricsText() {
  return prometheus::TextSerializer().Serialize(MetricsRegistry().Collect());
}

HttpResponse MetricsResponse() {
  return {200, {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}}, MetricsText()};
}

}  // namespace oneai
