#include "compute_fabric/scheduler/preempt.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "compute_fabric/scheduler/node_domains.h"
#include "compute_fabric/scheduler/queues/amount_text.h"
#include "compute_fabric/scheduler/queues/reclaim.h"
#include "compute_fabric/scheduler/quota_victims.h"
#include "compute_fabric/scheduler/victim_choice.h"
#include "compute_fabric/scheduler/victim_trial.h"

namespace oneai::fabric {
namespace {

// Domains that are tried for real, cheapest first by count; and how often a set that was refused is
// chosen anew.
constexpr int kTrialsMax = 12;
constexpr int kPlacedTrialsMax = 4;
constexpr int kRetriesMax = 12;
constexpr int64_t kImproveWorkMax = 4096;  // nodes looked at for a cheaper choice
constexpr int64_t kPerNodeMax = 1'000'000;

constexpr absl::Duration kTimeToComeBack = absl::Minutes(2);
constexpr double kDisturbance = 600;  // device-seconds

// Device-milli the job holds, core-milli without devices.
int64_t MilliHeld(const JobView& job) {
  int64_t milli = 0;
  for (const TaskPlacement& task : job.placed) {
    milli += task.device ? task.device->total_milli() : job.shape.cpu_milli;
  }
  return milli;
}

// One job's search with one kind of device and one number of tasks.
class Search {
 public:
  Search(const TrialRequest& request, const DeviceAlternative* device,
         const std::vector<char>& may_evict, int64_t victims_max)
      : request_(request),
        device_(device),
        may_evict_(may_evict),
        victims_max_(victims_max),
        shape_{.shape = &request.job->shape,
               .device = device,
               .kind = device == nullptr ? -1 : request.state->cluster.KindOf(device->kind),
               .per_node_max = request.job->spread == SpreadPolicy::kNode ? 1 : kPerNodeMax} {}

  // The best that was placed; not placed: nothing helps.
  TrialOutcome Run() {
    TrialOutcome best;
    const std::optional<std::vector<int32_t>> quota =
        FindQuotaVictims(request_, may_evict_, victims_max_);
    if (!quota) return best;
    quota_ = *quota;
    const std::vector<NodeDomain> domains = DomainsFor(
        request_.state->cluster, *request_.job, device_, *request_.may_use, request_.num_tasks);
    struct Candidate {
      double cost;
      size_t domain;
      VictimChoice choice;
    };
    std::vector<Candidate> candidates;
    for (size_t d = 0; d < domains.size(); ++d) {
      VictimChoice choice = Choose(domains[d], domains[d].nodes, may_evict_);
      if (choice.found) candidates.push_back({choice.cost, d, std::move(choice)});
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.cost < b.cost; });
    int trials = 0;
    int placed = 0;
    for (Candidate& candidate : candidates) {
      if (best.placed && candidate.cost >= best.cost) break;
      if (++trials > kTrialsMax || placed >= kPlacedTrialsMax) break;
      TrialOutcome outcome = TryDomain(domains[candidate.domain], std::move(candidate.choice));
      if (!outcome.placed) continue;
      ++placed;
      if (!best.placed || IsBetter(outcome, best)) best = std::move(outcome);
    }
    return best;
  }

  // Cost, then fewest, then youngest.
  bool IsBetter(const TrialOutcome& a, const TrialOutcome& b) const {
    if (a.cost != b.cost) return a.cost < b.cost;
    if (a.victims.size() != b.victims.size()) return a.victims.size() < b.victims.size();
    return Oldest(a) > Oldest(b);
  }

 private:
  absl::Time Oldest(const TrialOutcome& outcome) const {
    absl::Time oldest = absl::InfiniteFuture();
    for (const int32_t victim : outcome.victims) {
      oldest = std::min(oldest, request_.table->victims[victim].job->started);
    }
    return oldest;
  }

  VictimChoice Choose(const NodeDomain& domain, absl::Span<const NodeIndex> nodes,
                      const std::vector<char>& may_evict) const {
    VictimRequest victims{.state = request_.state,
                          .table = request_.table,
                          .shape = shape_,
                          .num_tasks = request_.num_tasks,
                          .may_evict = &may_evict,
                          .already = &quota_,
                          .victims_max = victims_max_,
                          .cost_max = std::numeric_limits<double>::infinity()};
    victims.shape.nvlink_domain = domain.nvlink_domain;
    return ChooseVictims(victims, nodes);
  }

  // Chooses again without what turned out not to work: jobs of a queue that has given back what it
  // had borrowed, or (to give back more with fewer) the smallest of those it did give; nodes where
  // the count was too hopeful.
  TrialOutcome TryDomain(const NodeDomain& domain, VictimChoice choice) const {
    struct Attempt {
      std::vector<char> may_evict;
      std::vector<NodeIndex> nodes;
    };
    std::vector<Attempt> attempts;  // the next one last
    attempts.push_back({may_evict_, domain.nodes});
    for (int i = 0; i < kRetriesMax && !attempts.empty(); ++i) {
      Attempt attempt = std::move(attempts.back());
      attempts.pop_back();
      if (i > 0) choice = Choose(domain, attempt.nodes, attempt.may_evict);
      if (!choice.found) continue;
      if (choice.victims.empty() && quota_.empty()) continue;  // it has been tried as it is
      const TrialOutcome outcome = TryVictims(request_, Together(choice));
      if (outcome.placed) return Improve(domain, attempt.nodes, attempt.may_evict, outcome);
      if (outcome.refused < 0) {
        if (LeaveOut(choice, attempt.nodes)) attempts.push_back(std::move(attempt));
        continue;
      }
      Attempt other = attempt;
      if (BanSmallestOf(outcome, other.may_evict)) attempts.push_back(std::move(other));
      BanQueueOf(outcome, attempt.may_evict);
      attempts.push_back(std::move(attempt));
    }
    return {};
  }

  std::vector<int32_t> Together(const VictimChoice& choice) const {
    std::vector<int32_t> victims = quota_;
    victims.insert(victims.end(), choice.victims.begin(), choice.victims.end());
    return victims;
  }

  // Where the domain is small: whether doing without one of those chosen leads to cheaper ones.
  TrialOutcome Improve(const NodeDomain& domain, const std::vector<NodeIndex>& nodes,
                       std::vector<char> may_evict, TrialOutcome best) const {
    int64_t work_left = kImproveWorkMax;
    for (bool improved = true; improved;) {
      improved = false;
      for (const int32_t victim : std::vector<int32_t>(best.victims)) {
        work_left -= static_cast<int64_t>(nodes.size());
        if (work_left < 0) return best;
        may_evict[victim] = 0;
        const VictimChoice choice = Choose(domain, nodes, may_evict);
        may_evict[victim] = 1;
        if (!choice.found || choice.cost >= best.cost) continue;
        TrialOutcome outcome = TryVictims(request_, Together(choice));
        if (!outcome.placed || !IsBetter(outcome, best)) continue;
        best = std::move(outcome);
        improved = true;
        break;
      }
    }
    return best;
  }

  // The smallest of those the refused one's queue did give. False: it gave nobody.
  bool BanSmallestOf(const TrialOutcome& outcome, std::vector<char>& may_evict) const {
    const VictimTable& table = *request_.table;
    int32_t smallest = -1;
    for (const int32_t v : outcome.victims) {
      if (table.victims[v].queue != table.victims[outcome.refused].queue) continue;
      if (smallest < 0 ||
          MilliHeld(*table.victims[v].job) < MilliHeld(*table.victims[smallest].job)) {
        smallest = v;
      }
    }
    if (smallest < 0) return false;
    may_evict[smallest] = 0;
    return true;
  }

  void BanQueueOf(const TrialOutcome& outcome, std::vector<char>& may_evict) const {
    const VictimTable& table = *request_.table;
    const int32_t queue = table.victims[outcome.refused].queue;
    for (size_t v = 0; v < table.victims.size(); ++v) {
      if (table.victims[v].queue != queue) continue;
      const bool stopped = std::find(outcome.victims.begin(), outcome.victims.end(),
                                     static_cast<int32_t>(v)) != outcome.victims.end();
      if (!stopped) may_evict[v] = 0;
    }
  }

  // False: no nodes to leave out.
  bool LeaveOut(const VictimChoice& choice, std::vector<NodeIndex>& nodes) const {
    const VictimTable& table = *request_.table;
    const size_t before = nodes.size();
    for (const int32_t v : choice.victims) {
      const Victim& victim = table.victims[v];
      for (int32_t p = victim.first_piece; p < victim.first_piece + victim.num_pieces; ++p) {
        nodes.erase(std::remove(nodes.begin(), nodes.end(), table.pieces[p].node), nodes.end());
      }
    }
    return nodes.size() < before;
  }

  const TrialRequest& request_;
  const DeviceAlternative* device_;
  const std::vector<char>& may_evict_;
  const int64_t victims_max_;
  const VacancyShape shape_;
  std::vector<int32_t> quota_;
};

// How many tasks to make room for: the first number that works.
std::vector<int> NumbersOfTasks(const JobView& job) {
  const int num_ranks = static_cast<int>(job.ranks.size());
  if (job.gang) return {std::min(job.tasks_min, num_ranks)};
  if (num_ranks > 1) return {num_ranks, 1};
  return {num_ranks};
}

}  // namespace

struct VictimSearch::Impl {
  SchedulerState* state;
  const Policy* policy;
  absl::Time now;
  std::optional<VictimTable> table;                // made when first needed
  std::optional<std::vector<std::string>> owners;  // QueueTree::Borrowers
  // What is the same for jobs that the search cannot tell apart.
  using Key = std::tuple<std::string, JobClass, int, absl::Duration>;
  std::set<Key> failed;
  int num_searches = 0;
  int64_t num_evicted = 0;

  bool IsAnyoneInReach(const JobView& job, const Amounts& needs);
  std::vector<char> MayEvict(const JobView& job, const Amounts& needs) const;
  TrialOutcome FindFor(const JobView& job, const NodeGate& may_use);
  PreemptionPlan Tell(const JobView& job, TrialOutcome outcome) const;
};

// Looks at queues only: most jobs that wait can take from nobody.
bool VictimSearch::Impl::IsAnyoneInReach(const JobView& job, const Amounts& needs) {
  const std::optional<int> lowest = state->jobs.LowestPriorityHeld(job.queue);
  if (lowest && *lowest < job.priority) return true;
  if (!owners) owners = state->queues.Borrowers();
  return std::any_of(owners->begin(), owners->end(), [&](const std::string& owner) {
    return owner != job.queue && state->queues.MightReclaim(job.queue, needs, owner);
  });
}

std::vector<char> VictimSearch::Impl::MayEvict(const JobView& job, const Amounts& needs) const {
  enum class Reach : char { kNone, kOwn, kReclaim };
  std::vector<Reach> reach;
  for (const std::string& queue : table->queues) {
    if (queue == job.queue) {
      reach.push_back(Reach::kOwn);
    } else {
      reach.push_back(state->queues.MightReclaim(job.queue, needs, queue) ? Reach::kReclaim
                                                                          : Reach::kNone);
    }
  }
  const bool at_once = state->queues.TakesOwnReserve(job.queue, needs);
  std::vector<char> may_evict(table->victims.size(), 0);
  for (size_t v = 0; v < may_evict.size(); ++v) {
    const Victim& victim = table->victims[v];
    const JobView& owner = *victim.job;
    if (reach[victim.queue] == Reach::kNone || owner.stopping || owner.id == job.id) continue;
    if (reach[victim.queue] == Reach::kOwn) {
      may_evict[v] = owner.priority < job.priority;
      continue;
    }
    const absl::Duration guard = at_once && owner.times_reclaimed == 0
                                     ? absl::ZeroDuration()
                                     : ReclaimGuard(policy->minimum_runtime, owner.times_reclaimed);
    may_evict[v] = now - owner.started >= guard;
  }
  return may_evict;
}

TrialOutcome VictimSearch::Impl::FindFor(const JobView& job, const NodeGate& may_use) {
  std::vector<const DeviceAlternative*> alternatives;
  for (const DeviceAlternative& device : job.shape.devices) alternatives.push_back(&device);
  if (alternatives.empty()) alternatives.push_back(nullptr);
  std::stable_sort(alternatives.begin(), alternatives.end(),
                   [](const DeviceAlternative* a, const DeviceAlternative* b) {
                     return a != nullptr && a->relative_throughput > b->relative_throughput;
                   });
  const std::vector<int> numbers = NumbersOfTasks(job);
  const int64_t victims_max = policy->evictions_max - num_evicted;
  TrialOutcome best;
  for (const int num_tasks : numbers) {
    for (const DeviceAlternative* device : alternatives) {
      TrialRequest request{.state = state,
                           .policy = policy,
                           .job = &job,
                           .may_use = &may_use,
                           .now = now,
                           .num_tasks = num_tasks};
      Add(request.needs, AmountsOf(job.shape, device), num_tasks);
      if (!IsAnyoneInReach(job, request.needs)) continue;
      if (!table) table = MakeVictimTable(*state, now);
      request.table = &*table;
      const std::vector<char> may_evict = MayEvict(job, request.needs);
      if (std::find(may_evict.begin(), may_evict.end(), 1) == may_evict.end()) continue;
      ++num_searches;
      Search search(request, device, may_evict, victims_max);
      TrialOutcome outcome = search.Run();
      if (outcome.placed && (!best.placed || search.IsBetter(outcome, best))) {
        best = std::move(outcome);
      }
    }
    if (best.placed) break;
  }
  return best;
}

PreemptionPlan VictimSearch::Impl::Tell(const JobView& job, TrialOutcome outcome) const {
  PreemptionPlan plan;
  plan.tasks = std::move(outcome.tasks);
  for (const int32_t v : outcome.victims) {
    const JobView& owner = *table->victims[v].job;
    Eviction eviction;
    eviction.job_id = owner.id;
    eviction.for_job = job.id;
    if (owner.queue == job.queue) {
      eviction.cause = EvictionCause::kPriority;
      eviction.reason = absl::StrCat(job.id, " has priority ", job.priority, " in ", job.queue,
                                     ", ", owner.id, " has ", owner.priority);
    } else {
      eviction.cause = EvictionCause::kReclaim;
      Amounts given = HeldBy(*table, v);
      // Devices say it all where there are any.
      if (given.size() > 2 || !owner.shape.devices.empty()) {
        given.erase(kCpu);
        given.erase(kMemory);
      }
      eviction.reason = absl::StrCat(job.queue, " takes back ", AmountsText(given), " that ",
                                     owner.queue, " borrows");
    }
    plan.evictions.push_back(std::move(eviction));
  }
  return plan;
}

VictimSearch::VictimSearch(SchedulerState* state, const Policy* policy, absl::Time now)
    : impl_(std::make_unique<Impl>()) {
  impl_->state = state;
  impl_->policy = policy;
  impl_->now = now;
}

VictimSearch::~VictimSearch() = default;

PreemptionPlan VictimSearch::Find(const JobView& job, const NodeGate& may_use) {
  Impl& impl = *impl_;
  if (!impl.policy->preemption || job.ranks.empty()) return {};
  if (impl.num_searches >= kSearchesMax || impl.num_evicted >= impl.policy->evictions_max) {
    return {};
  }
  const JobClass job_class = impl.state->jobs.ClassOf(job);
  const Impl::Key key{job.queue, job_class, job.priority, job.time_limit};
  // What a job holds narrows where the rest of it may go; a what-if's class may be unknown.
  const bool is_typical = job_class >= 0 && job.placed.empty();
  if (is_typical && impl.failed.count(key) > 0) return {};
  TrialOutcome outcome = impl.FindFor(job, may_use);
  if (!outcome.placed) {
    if (is_typical) impl.failed.insert(key);
    return {};
  }
  return impl.Tell(job, std::move(outcome));
}

bool VictimSearch::IsAnyoneInReach(const JobView& job) {
  if (job.ranks.empty()) return false;
  const int num_tasks = NumbersOfTasks(job).back();
  const auto in_reach = [&](const DeviceAlternative* device) {
    Amounts needs;
    Add(needs, AmountsOf(job.shape, device), num_tasks);
    return impl_->IsAnyoneInReach(job, needs);
  };
  if (job.shape.devices.empty()) return in_reach(nullptr);
  return std::any_of(job.shape.devices.begin(), job.shape.devices.end(),
                     [&](const DeviceAlternative& device) { return in_reach(&device); });
}

void VictimSearch::Carried(const PreemptionPlan& plan) {
  impl_->num_evicted += static_cast<int64_t>(plan.evictions.size());
}

PreemptionPlan FindVictims(SchedulerState& state, const Policy& policy, const JobView& job,
                           const NodeGate& may_use, absl::Time now) {
  return VictimSearch(&state, &policy, now).Find(job, may_use);
}

double EvictionCost(const JobView& job, absl::Time now) {
  const double units = static_cast<double>(MilliHeld(job)) / kWholeDevice;
  const absl::Time safe = std::max(job.last_checkpoint, std::min(job.started, now));
  const absl::Duration lost = std::max(absl::ZeroDuration(), now - safe);
  return units * absl::ToDoubleSeconds(lost + kTimeToComeBack) + kDisturbance;
}

}  // namespace oneai::fabric
