// File: compute_fabric/simulation/sim_controller.h
//
// A controller process: the real state, sessions, requests and scheduling loop, with fibers where
// the real one has threads and messages where it has RPCs.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/auth/access.h"
#include "compute_fabric/controller/fabric_state.h"
#include "compute_fabric/controller/job_requests.h"
#include "compute_fabric/controller/live_schedule.h"
#include "compute_fabric/controller/node_requests.h"
#include "compute_fabric/controller/node_sessions.h"
#include "compute_fabric/controller/queue_requests.h"
#include "compute_fabric/controller/schedule_loop.h"
#include "compute_fabric/joblog/log_store.h"
#include "compute_fabric/joblog/metric_store.h"
#include "compute_fabric/simulation/sim_clock.h"
#include "compute_fabric/simulation/sim_store.h"

namespace oneai::fabric::simulation {

// The objects of one controller, of which each request sees what it needs.
struct ControllerCore {
  ControllerCore(Store* store, const Clock* clock, const ControllerOptions* options,
                 const ControllerHooks* hooks)
      : state(store, clock),
        schedule(&state, options),
        logs(options->log_dir, options->log_bytes_max),
        metrics(&logs),
        jobs(&state, &schedule, hooks, options),
        queues(&state, &schedule, hooks),
        nodes(&state, hooks),
        sessions(&state, hooks, options, &logs, &metrics),
        loop(&state, &schedule, &sessions, &logs, options) {}
  FabricState state;
  LiveSchedule schedule;
  LogStore logs;
  MetricStore metrics;
  JobRequests jobs;
  QueueRequests queues;
  NodeRequests nodes;
  NodeSessions sessions;
  ScheduleLoop loop;
};

class SimController final : public Process {
 public:
  using HeartbeatReply = std::function<void(absl::StatusOr<v1::HeartbeatResponse>)>;

  // Loads the store and begins to schedule, in fibers. `on_exit` is called when it gives up: it
  // could not load, or another controller took over.
  SimController(Simulator* simulator, std::string name, StoreServer* server, const StoreLink* link,
                const SimClock* clock, const ControllerOptions* options,
                const ControllerHooks* hooks, std::function<void(const absl::Status&)> on_exit);

  const std::string& name() const { return name_; }
  int64_t epoch() const { return core_.state.epoch(); }
  bool serving() const { return alive() && serving_; }

  // A heartbeat has arrived. `reply` may come much later, or never.
  void Heartbeat(v1::HeartbeatRequest request, uint64_t call_id, HeartbeatReply reply);
  // The caller has hung up.
  void Cancel(const std::string& node, uint64_t call_id);
  // Its connections break: every caller that waits is told.
  void HangUp();
  // Any other request, in a fiber; dropped while not serving.
  void Serve(std::function<void(ControllerCore&)> request);

  // What `oneai job why` would print; empty for "next pass" and for jobs that it does not know.
  std::vector<std::string> ReasonsOf(const std::string& job_id) const;

  void AfterFiber() override { NoticeChanges(); }

 private:
  struct Waiting {
    v1::HeartbeatRequest request;
    uint64_t call_id;
    HeartbeatReply reply;
    bool answering = false;
  };

  void Load();
  void Step();
  void StepAfter(absl::Duration delay);
  void NoticeChanges();
  void Answer(Waiting& waiting);

  Simulator* const simulator_;
  const std::string name_;
  const ControllerOptions* const options_;
  const std::function<void(const absl::Status&)> on_exit_;
  SimStore store_;
  ControllerCore core_;
  bool serving_ = false;
  int64_t noticed_version_ = 0;
  bool stepping_ = false;
  bool step_failed_ = false;
  bool wakes_ = false;      // something changed while the loop was at work
  uint64_t next_step_ = 0;  // tells the planned step from those planned before
  std::list<Waiting> waiting_;
};

}  // namespace oneai::fabric::simulation
