#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compute_fabric/controller/log_follower.h"
#include "compute_fabric/controller/service_call.h"
#include "compute_fabric/jobs/job_spec.h"
#include "oneai/fabric/v1/job.grpc.pb.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kCancelPoll = absl::Milliseconds(100);
constexpr int64_t kEventsDefault = 200;
constexpr int64_t kEventsMax = 2000;

class JobServiceImpl final : public v1::JobService::Service {
 public:
  explicit JobServiceImpl(const ServiceDeps& deps) : deps_(deps) {}

  grpc::Status SubmitJob(grpc::ServerContext* context, const v1::SubmitJobRequest* request,
                         v1::SubmitJobResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Submit(*request, caller), response);
    });
  }
  grpc::Status PlanJob(grpc::ServerContext* context, const v1::PlanJobRequest* request,
                       v1::PlanJobResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Plan(*request, caller), response);
    });
  }
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Get(request->id(), caller), response);
    });
  }
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      *response = deps_.jobs->List(*request, caller);
      return absl::OkStatus();
    });
  }
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Cancel(*request, caller), response);
    });
  }
  grpc::Status RetryJob(grpc::ServerContext* context, const v1::RetryJobRequest* request,
                        v1::Job* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Retry(*request, caller), response);
    });
  }
  grpc::Status GetMetrics(grpc::ServerContext* context, const v1::GetMetricsRequest* request,
                          v1::MetricSeriesList* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(deps_.jobs->Get(request->job_id(), caller).status());
      *response =
          deps_.metrics->Get(request->job_id(), {request->names().begin(), request->names().end()});
      return absl::OkStatus();
    });
  }
  grpc::Status ListEvents(grpc::ServerContext* context, const v1::ListEventsRequest* request,
                          v1::ListEventsResponse* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return ListEvents(*request, caller, response);
    });
  }
  grpc::Status WatchJobs(grpc::ServerContext* context, const v1::WatchJobsRequest* request,
                         grpc::ServerWriter<v1::JobUpdate>* writer) override {
    return ServeStream(deps_, *context, [&](const Identity& caller) {
      return Watch(*context, *request, caller, writer);
    });
  }
  grpc::Status ReadLog(grpc::ServerContext* context, const v1::ReadLogRequest* request,
                       grpc::ServerWriter<v1::LogChunk>* writer) override {
    return ServeStream(deps_, *context, [&](const Identity& caller) -> absl::Status {
      RETURN_IF_ERROR(deps_.jobs->Get(request->job_id(), caller).status());
      return FollowLog(
          *deps_.state, *deps_.logs, *request,
          [&](const v1::LogChunk& chunk) { return writer->Write(chunk); },
          [&] { return context->IsCancelled() || !deps_.gate->is_open(); });
    });
  }

 private:
  bool MaySee(const Identity& caller, const std::string& project) const {
    return CheckPermission(caller, Permission::kViewFabric, BusinessUnitOf(project)).ok();
  }

  absl::Status ListEvents(const v1::ListEventsRequest& request, const Identity& caller,
                          v1::ListEventsResponse* response) {
    const int64_t limit =
        request.limit() <= 0 ? kEventsDefault : std::min<int64_t>(request.limit(), kEventsMax);
    for (const v1::Event& event :
         deps_.state->events().List(request.subject(), request.after_sequence(), limit)) {
      if (CheckPermission(caller, Permission::kViewFabric, UnitOfEvent(event)).ok())
        *response->add_events() = event;
    }
    return absl::OkStatus();
  }

  // Whose event it is. Nodes are shared: theirs are for whoever may look at nodes. What is gone and
  // no longer says whose it was is for those only who see every unit.
  std::string UnitOfEvent(const v1::Event& event) const {
    if (const JobRecord job = deps_.state->jobs().Find(event.subject()); job.value != nullptr)
      return std::string(BusinessUnitOf(job.value->spec().project()));
    const Record<v1::Endpoint> endpoint = deps_.state->endpoints().Find(event.subject());
    if (endpoint.value != nullptr)
      return std::string(BusinessUnitOf(endpoint.value->spec().project()));
    if (absl::StartsWith(event.kind(), "queue."))
      return std::string(BusinessUnitOf(event.subject()));
    return absl::StartsWith(event.kind(), "node.") ? "" : std::string(kEveryUnit);
  }

  absl::Status Watch(const grpc::ServerContext& context, const v1::WatchJobsRequest& request,
                     const Identity& caller, grpc::ServerWriter<v1::JobUpdate>* writer) {
    for (const std::string& id : request.ids())
      RETURN_IF_ERROR(deps_.jobs->Get(id, caller).status());
    const std::set<std::string> wanted(request.ids().begin(), request.ids().end());
    std::map<std::string, int64_t> sent;  // by job: the revision that the watcher has
    int64_t version = 0;
    while (!context.IsCancelled() && deps_.gate->is_open()) {
      version = deps_.state->WaitForChange(version, kCancelPoll);
      for (const JobRecord& job : deps_.state->jobs().All()) {
        const std::string& id = job.value->id();
        if ((!wanted.empty() && wanted.count(id) == 0) ||
            !MaySee(caller, job.value->spec().project()))
          continue;
        int64_t& revision = sent[id];
        if (revision >= job.revision) continue;
        revision = job.revision;
        v1::JobUpdate update;
        *update.mutable_job() = *job.value;
        update.set_revision(job.revision);
        if (!writer->Write(update)) return absl::OkStatus();
      }
    }
    return context.IsCancelled()
               ? absl::CancelledError("the watcher left")
               : absl::UnavailableError("the controller is stopping; watch again");
  }

  const ServiceDeps deps_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewJobService(const ServiceDeps& deps) {
  return std::make_unique<JobServiceImpl>(deps);
}

}  // namespace oneai::fabric
