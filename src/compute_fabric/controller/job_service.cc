#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "compute_fabric/controller/log_follower.h"
#include "compute_fabric/controller/service_call.h"
#include "compute_fabric/jobs/job_spec.h"
#include "oneai/fabric/v1/job.grpc.pb.h"

namespace oneai::fabric {
namespace {

constexpr absl::Duration kCancelPoll = absl::Milliseconds(100);
constexpr absl::Duration kExplainEvery = absl::Seconds(1);
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
  grpc::Status ExplainJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                          v1::Explanation* response) override {
    return ServeCall(deps_, *context, [&](const Identity& caller) {
      return Answer(deps_.jobs->Explain(request->id(), caller), response);
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
    std::map<std::string, v1::JobUpdate> sent;
    int64_t version = 0;
    absl::Time explain_next = absl::InfinitePast();
    while (!context.IsCancelled() && deps_.gate->is_open()) {
      version = deps_.state->WaitForChange(version, kCancelPoll);
      // Why a job waits changes without a change of the job; to find out is not free.
      const bool explain = request.ids_size() > 0 && absl::Now() >= explain_next;
      if (explain) explain_next = absl::Now() + kExplainEvery;
      const std::vector<JobRecord> jobs =
          request.ids().empty()
              ? deps_.state->jobs().All()
              : deps_.state->FindJobs({request.ids().begin(), request.ids().end()});
      for (const JobRecord& job : jobs) {
        if (!MaySee(caller, job.value->spec().project())) continue;
        if (!SendNews(job, explain, sent[job.value->id()], writer)) return absl::OkStatus();
      }
    }
    return context.IsCancelled()
               ? absl::CancelledError("the watcher left")
               : absl::UnavailableError("the controller is stopping; watch again");
  }

  // Sends the job when it has changed; with `explain` also when the reasons why it waits have.
  // False: the watcher has gone.
  bool SendNews(const JobRecord& job, bool explain, v1::JobUpdate& sent,
                grpc::ServerWriter<v1::JobUpdate>* writer) {
    const bool waits = explain && job.value->state() == v1::PENDING;
    if (sent.revision() >= job.revision && !waits) return true;
    v1::JobUpdate update;
    *update.mutable_job() = waits ? deps_.jobs->Describe(*job.value) : *job.value;
    update.set_revision(job.revision);
    const auto reasons_of = [](const v1::JobUpdate& of) {
      return absl::StrJoin(of.job().reasons(), "\n");
    };
    if (sent.revision() >= job.revision && reasons_of(sent) == reasons_of(update)) return true;
    if (!writer->Write(update)) return false;
    sent.set_revision(job.revision);
    // Of all jobs there may be many; only what is compared again is kept.
    if (waits) *sent.mutable_job()->mutable_reasons() = update.job().reasons();
    return true;
  }

  const ServiceDeps deps_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewJobService(const ServiceDeps& deps) {
  return std::make_unique<JobServiceImpl>(deps);
}

}  // namespace oneai::fabric
