// File: compute_fabric/simulation/operators.h
//
// What those do who run the fabric: cordons, drains, spares, reservations and maintenance windows,
// limits and the queue tree. workload.h has those who use it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/auth/access.h"
#include "compute_fabric/simulation/world.h"
#include "oneai/fabric/v1/node.pb.h"
#include "oneai/fabric/v1/queue.pb.h"

namespace oneai::fabric::simulation {

// Where jobs are submitted.
inline constexpr const char* kProjects[] = {"retail/nlp", "retail/vision", "finance/risk"};

// Everybody in one: may do anything.
Identity Everybody();

// Thread-compatible. `world` must outlive the simulation.
class Operators {
 public:
  explicit Operators(World* world) : world_(world), user_(Everybody()) {}

  // Plans calls from now until `until`.
  void Begin(absl::Time until);
  // Takes back what would keep jobs waiting for ever.
  void CalmDown();
  // Calls without an answer.
  int num_open() const { return num_open_; }
  // A reservation that jobs of the project may name; empty: none is known.
  std::string ReservationOf(const std::string& project) const;

 private:
  // A change that is asked for until it is answered, whatever the answer.
  void Ask(std::function<absl::Status(ControllerCore&)> change);
  void Cordon();
  void SetCordoned(const std::string& node, bool cordoned);
  void Drain();
  void ChangeSpare();
  void SetSpare(const std::string& node, bool spare);
  void Reserve();
  void DeleteReservation(const std::string& name);
  void ChangeLimit();
  void DivideQuota();
  void SetQueues(std::vector<v1::Queue> queues);

  World* const world_;
  const Identity user_;
  int num_open_ = 0;
  int num_reservations_ = 0;
  std::set<std::string> cordoned_;
  std::string spare_;
  std::vector<v1::Reservation> reservations_;  // that were asked for
  std::set<const QueueRequests*> changing_queues_;
};

}  // namespace oneai::fabric::simulation
