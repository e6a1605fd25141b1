// File: base/metrics/metrics.h
//
// The process's Prometheus registry and its text exposition (prometheus-cpp core; its own HTTP
// server is not used). Names carry base units and `_total`; labels come from a short fixed list,
// never user, request or job ids.
#pragma once

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "base/http/message.h"

namespace oneai {

// The process-wide registry, as Prometheus's data model has it.
prometheus::Registry& MetricsRegistry();

// Text format 0.0.4 of everything registered.
std::string MetricsText();

// The response of GET /metrics.
HttpResponse MetricsResponse();

}  // namespace oneai
