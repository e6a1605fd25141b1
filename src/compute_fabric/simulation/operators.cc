#include "compute_fabric/simulation/operators.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace oneai::fabric::simulation {
namespace {

constexpr int64_t kWholeDevice = 1000;

// In an order that is the same every time, other than a message's.
std::map<std::string, int64_t> NominalOf(const v1::Queue& queue) {
  return {queue.nominal().begin(), queue.nominal().end()};
}

// Of what a queue is entitled to, the parts that its children get.
void Divide(Random& random, const v1::Queue& parent, std::vector<v1::Queue*> children) {
  for (const auto& [resource, amount] : NominalOf(parent)) {
    int64_t left = amount;
    for (v1::Queue* child : children) {
      const int64_t step = resource == "cpu" ? 500 : kWholeDevice / 2;
      const int64_t part = random.Between(0, left / step) * step;
      if (part == 0) continue;
      (*child->mutable_nominal())[resource] = part;
      left -= part;
    }
  }
}

void DrawLimits(Random& random, v1::Queue& queue) {
  queue.set_weight(static_cast<double>(random.Between(1, 3)));
  for (const auto& [resource, amount] : NominalOf(queue)) {
    if (random.Chance(0.3))
      (*queue.mutable_borrowing_limit())[resource] = amount * random.Between(0, 4) / 2;
    if (random.Chance(0.3))
      (*queue.mutable_lending_limit())[resource] = amount * random.Between(0, 2) / 2;
  }
}

}  // namespace

Identity Everybody() {
  Identity identity;
  identity.principal.set_kind(common::v1::Principal::USER);
  identity.principal.set_name("alice");
  identity.principal.set_business_unit("*");
  auth::v1::RoleBinding binding;
  binding.set_role(auth::v1::ADMIN);
  binding.set_business_unit("*");
  identity.bindings.push_back(binding);
  return identity;
}

void Operators::Begin(absl::Time until) {
  Simulator& simulator = world_->simulator();
  simulator.Repeat(absl::Seconds(60), until, [this] { Cordon(); });
  simulator.Repeat(absl::Seconds(90), until, [this] { Drain(); });
  simulator.Repeat(absl::Seconds(90), until, [this] { ChangeSpare(); });
  simulator.Repeat(absl::Seconds(60), until, [this] { Reserve(); });
  simulator.Repeat(absl::Seconds(80), until, [this] { ChangeLimit(); });
  // Half of the fabrics divide what they have.
  if (simulator.random().Chance(0.5))
    simulator.Repeat(absl::Seconds(60), until, [this] { DivideQuota(); });
}

void Operators::Ask(std::function<absl::Status(ControllerCore&)> change) {
  ++num_open_;
  world_->Call<bool>(
      [change = std::move(change)](ControllerCore& core) -> absl::StatusOr<bool> {
        const absl::Status changed = change(core);
        if (!changed.ok()) return changed;
        return true;
      },
      [this](const absl::StatusOr<bool>& done) {
        --num_open_;
        if (!done.ok())
          world_->simulator().trace().Add("operator", "is refused: ", done.status().ToString());
      });
}

void Operators::Cordon() {
  const std::string node = world_->simulator().random().Pick(world_->machines())->name();
  SetCordoned(node, !cordoned_.contains(node));
}

void Operators::SetCordoned(const std::string& node, bool cordoned) {
  if (cordoned) {
    cordoned_.insert(node);
  } else {
    cordoned_.erase(node);
  }
  v1::SetNodeSchedulableRequest request;
  request.set_name(node);
  request.set_schedulable(!cordoned);
  Ask([this, request](ControllerCore& core) {
    return core.sessions.SetSchedulable(request, user_).status();
  });
}

// The node is put back into service by the next uncordon.
void Operators::Drain() {
  Random& random = world_->simulator().random();
  v1::DrainNodeRequest request;
  request.set_name(random.Pick(world_->machines())->name());
  request.set_reason("maintenance");
  request.set_deadline_ms(random.Between(1'000, 60'000));
  request.set_force(random.Chance(0.5));
  cordoned_.insert(request.name());
  Ask([this, request](ControllerCore& core) { return core.nodes.Drain(request, user_); });
}

void Operators::ChangeSpare() {
  if (world_->machines().size() < 3) return;
  if (!spare_.empty()) return SetSpare(std::exchange(spare_, ""), false);
  spare_ = world_->simulator().random().Pick(world_->machines())->name();
  SetSpare(spare_, true);
}

void Operators::SetSpare(const std::string& node, bool spare) {
  v1::SetNodeSpareRequest request;
  request.set_name(node);
  request.set_spare(spare);
  Ask([this, request](ControllerCore& core) { return core.nodes.SetSpare(request, user_); });
}

void Operators::Reserve() {
  Random& random = world_->simulator().random();
  if (reservations_.size() > 3 || (!reservations_.empty() && random.Chance(0.3))) {
    const std::string name = reservations_.front().name();
    reservations_.erase(reservations_.begin());
    return DeleteReservation(name);
  }
  v1::Reservation reservation;
  reservation.set_name(absl::StrCat("hold-", ++num_reservations_));
  const bool maintenance = random.Chance(0.3);
  reservation.set_kind(maintenance ? v1::MAINTENANCE : v1::RESERVED);
  if (!maintenance) reservation.set_project(kProjects[random.Next() % std::size(kProjects)]);
  if (random.Chance(0.5)) {
    reservation.add_nodes(random.Pick(world_->machines())->name());
  } else {
    reservation.set_num_nodes(static_cast<int32_t>(random.Between(1, 2)));
  }
  const absl::Time start =
      world_->simulator().Now() + random.Between(absl::Seconds(2), absl::Seconds(60));
  reservation.set_start_unix_ms(absl::ToUnixMillis(start));
  reservation.set_end_unix_ms(
      absl::ToUnixMillis(start + random.Between(absl::Seconds(10), absl::Seconds(120))));
  reservations_.push_back(reservation);
  Ask([this, reservation](ControllerCore& core) {
    return core.nodes.CreateReservation(reservation, user_).status();
  });
}

void Operators::DeleteReservation(const std::string& name) {
  Ask([this, name](ControllerCore& core) { return core.nodes.DeleteReservation(name, user_); });
}

std::string Operators::ReservationOf(const std::string& project) const {
  for (const v1::Reservation& reservation : reservations_) {
    if (reservation.project() == project) return reservation.name();
  }
  return "";
}

void Operators::ChangeLimit() {
  Random& random = world_->simulator().random();
  v1::Queue queue;
  queue.set_project(kProjects[random.Next() % std::size(kProjects)]);
  queue.set_cpu_milli_limit(random.Chance(0.3) ? 0 : random.Between(4, 30) * 1000);
  SetQueues({queue});
}

// Two units and their projects are entitled to parts of what there is, and may borrow and lend the
// rest.
void Operators::DivideQuota() {
  Random& random = world_->simulator().random();
  v1::Queue all;
  for (const auto& machine : world_->machines()) {
    (*all.mutable_nominal())["cpu"] += machine->info.cpu_milli();
    for (const v1::Device& device : machine->info.devices())
      (*all.mutable_nominal())[device.kind()] += kWholeDevice;
  }
  std::vector<v1::Queue> queues(5);
  const char* const paths[] = {"retail", "finance", kProjects[0], kProjects[1], kProjects[2]};
  for (size_t i = 0; i < queues.size(); ++i) queues[i].set_project(paths[i]);
  Divide(random, all, {&queues[0], &queues[1]});
  Divide(random, queues[0], {&queues[2], &queues[3]});
  Divide(random, queues[1], {&queues[4]});
  for (v1::Queue& queue : queues) DrawLimits(random, queue);
  queues[1].set_reserve(random.Chance(0.3));
  SetQueues(std::move(queues));
}

void Operators::SetQueues(std::vector<v1::Queue> queues) {
  Ask([this, queues = std::move(queues)](ControllerCore& core) -> absl::Status {
    // QueueRequests makes its callers wait for each other with a lock, which in one thread would be
    // for ever.
    while (changing_queues_.contains(&core.queues)) {
      world_->simulator().Sleep(absl::Milliseconds(10));
      if (!world_->simulator().OwnerLives()) return absl::UnavailableError("killed");
    }
    changing_queues_.insert(&core.queues);
    const absl::Status set = core.queues.SetAll(queues, user_).status();
    changing_queues_.erase(&core.queues);
    return set;
  });
}

void Operators::CalmDown() {
  for (const auto& machine : world_->machines()) {
    SetCordoned(machine->name(), false);
    SetSpare(machine->name(), false);
  }
  for (const v1::Reservation& reservation : reservations_) DeleteReservation(reservation.name());
  reservations_.clear();
  std::vector<v1::Queue> free;
  for (const char* path : {"retail", "finance", kProjects[0], kProjects[1], kProjects[2]})
    free.emplace_back().set_project(path);
  SetQueues(std::move(free));
}

}  // namespace oneai::fabric::simulation
