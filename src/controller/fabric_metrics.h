// File: controller/fabric_metrics.h
//
// The fabric's state as Prometheus gauges, computed when they are scraped: a gauge that is set at
// every change can be wrong for ever, one that is counted when asked for cannot.
#pragma once

#include "compute_fabric/controller/controller.h"

namespace oneai {

// Sets in MetricsRegistry():
//   oneai_jobs{state}                     jobs that have not been forgotten
//   oneai_job_pending_seconds_max         age of the job that has waited longest
//   oneai_nodes{state}
//   oneai_node_cpu_cores{use="total|used"}, oneai_node_memory_bytes{use}, oneai_devices{kind,use}:
//   summed over the fabric oneai_endpoint_replicas{state="ready|wanted"}
// Labels are enumerations and device kinds, never job, user or request ids.
void UpdateFabricMetrics(const fabric::Controller& controller, absl::Time now);

}  // namespace oneai
