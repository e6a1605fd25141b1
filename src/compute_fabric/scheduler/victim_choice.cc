#include "compute_fabric/scheduler/victim_choice.h"

#include <algorithm>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"

namespace oneai::fabric {
namespace {

using Pieces = absl::Span<const int32_t>;  // indexes in VictimTable::pieces

struct NodeWork {
  NodeIndex node = kNoNode;
  NodeVacancy vacancy;
  int64_t fit = 0;
  int32_t stamp = 0;  // of the entry in the heap that is valid
};

// Jobs to stop so that one node takes at least one task more.
struct Step {
  std::vector<int32_t> victims;
  double price = 0;  // split over the nodes that each helps
  int64_t gained = 0;
};

class Greedy {
 public:
  Greedy(const VictimRequest& request, absl::Span<const NodeIndex> nodes)
      : request_(request), table_(*request.table) {
    for (const int32_t victim : *request.already) Choose(victim);
    work_.reserve(nodes.size());
    for (const NodeIndex n : nodes) {
      NodeWork work{n, NodeVacancy(request.state->cluster.node(n), request.shape)};
      for (const int32_t p : OnNode(n)) {
        if (IsChosen(table_.pieces[p].victim)) work.vacancy.Add(table_.pieces[p]);
      }
      work.fit = work.vacancy.NumFit(request.shape);
      total_ += work.fit;
      if (nodes.size() > 1) position_[n] = static_cast<int32_t>(work_.size());
      work_.push_back(std::move(work));
    }
  }

  VictimChoice Run() {
    VictimChoice choice;
    if (total_ < request_.num_tasks && !Fill(choice)) return choice;
    DropUnnecessary(choice);
    choice.found = true;
    return choice;
  }

 private:
  struct Entry {
    double score;  // price for a task
    int32_t work;
    int32_t stamp;
    bool operator<(const Entry& other) const {  // for a heap with the least on top
      if (score != other.score) return score > other.score;
      return work > other.work;
    }
  };

  absl::Span<const int32_t> OnNode(NodeIndex n) const {
    const int32_t first = table_.node_start[n];
    return absl::MakeConstSpan(table_.on_node).subspan(first, table_.node_start[n + 1] - first);
  }

  bool IsChosen(int32_t victim) const {
    return std::find(chosen_.begin(), chosen_.end(), victim) != chosen_.end();
  }
  void Choose(int32_t victim) {
    if (!IsChosen(victim)) chosen_.push_back(victim);
  }

  // A single node has no position map.
  int32_t PositionOf(NodeIndex n) const {
    if (work_.size() == 1) return work_[0].node == n ? 0 : -1;
    const auto found = position_.find(n);
    return found == position_.end() ? -1 : found->second;
  }

  double PriceOf(int32_t victim) const {
    const Victim& v = table_.victims[victim];
    if (v.num_pieces <= 1 || work_.size() == 1) return v.cost;
    int64_t helps = 0;
    NodeIndex last = kNoNode;
    for (int32_t p = v.first_piece; p < v.first_piece + v.num_pieces; ++p) {
      const NodeIndex n = table_.pieces[p].node;
      if (n != last && PositionOf(n) >= 0) ++helps;
      last = n;
    }
    const int64_t left = std::max<int64_t>(1, request_.num_tasks - total_);
    return v.cost / static_cast<double>(std::clamp<int64_t>(helps, 1, left));
  }

  // Pieces of the node by job (a job may have several tasks here), those that may go.
  struct Group {
    int32_t victim;
    double price;
    Pieces pieces;
  };
  std::vector<Group> Evictable(const NodeWork& work) const {
    std::vector<Group> groups;
    const Pieces all = OnNode(work.node);
    for (size_t first = 0, end = 0; first < all.size(); first = end) {
      const int32_t victim = table_.pieces[all[first]].victim;
      bool is_useful = false;
      for (end = first; end < all.size(); ++end) {  // pieces come by victim
        const VictimPiece& piece = table_.pieces[all[end]];
        if (piece.victim != victim) break;
        is_useful = is_useful || work.vacancy.IsUseful(piece, request_.shape);
      }
      if (!is_useful || !(*request_.may_evict)[victim] || IsChosen(victim)) continue;
      groups.push_back({victim, PriceOf(victim), all.subspan(first, end - first)});
    }
    return groups;
  }

  static void AddAll(const VictimTable& table, NodeVacancy& vacancy, Pieces pieces) {
    for (const int32_t p : pieces) vacancy.Add(table.pieces[p]);
  }
  static void RemoveAll(const VictimTable& table, NodeVacancy& vacancy, Pieces pieces) {
    for (const int32_t p : pieces) vacancy.Remove(table.pieces[p]);
  }

  // Stops jobs in the order of `groups` until a task more fits, then takes back what was not
  // needed.
  bool TryOrder(const NodeWork& work, absl::Span<const Group* const> groups, Step& best) const {
    NodeVacancy vacancy = work.vacancy;
    absl::InlinedVector<const Group*, 8> stopped;
    bool fits = false;
    for (const Group* group : groups) {
      AddAll(table_, vacancy, group->pieces);
      stopped.push_back(group);
      fits = vacancy.NumFit(request_.shape) > work.fit;
      if (fits) break;
    }
    if (!fits) return false;
    std::stable_sort(stopped.begin(), stopped.end(),
                     [](const Group* a, const Group* b) { return a->price > b->price; });
    Step step;
    for (const Group* group : stopped) {
      RemoveAll(table_, vacancy, group->pieces);
      if (vacancy.NumFit(request_.shape) > work.fit) continue;
      AddAll(table_, vacancy, group->pieces);
      step.victims.push_back(group->victim);
      step.price += group->price;
    }
    step.gained = vacancy.NumFit(request_.shape) - work.fit;
    if (best.victims.empty() || ScoreOf(step) < ScoreOf(best)) best = std::move(step);
    return true;
  }

  double ScoreOf(const Step& step) const {
    const int64_t left = std::max<int64_t>(1, request_.num_tasks - total_);
    return step.price / static_cast<double>(std::min(step.gained, left));
  }

  int64_t AmountOf(const Group& group) const {
    int64_t amount = 0;
    for (const int32_t p : group.pieces) {
      const VictimPiece& piece = table_.pieces[p];
      for (const auto& [device, milli] : piece.devices) amount += milli;
      if (request_.shape.device == nullptr) amount += piece.cpu_milli;
    }
    return std::max<int64_t>(1, amount);
  }

  // The cheapest of: one job alone; the cheap ones first; those that give most for their price
  // first; the large ones first.
  Step NextStep(const NodeWork& work) const {
    Step best;
    const auto groups = Evictable(work);
    absl::InlinedVector<const Group*, 8> order;
    for (const Group& group : groups) order.push_back(&group);
    const auto by_price = [](const Group* a, const Group* b) { return a->price < b->price; };
    std::stable_sort(order.begin(), order.end(), by_price);
    if (!TryOrder(work, order, best) || groups.size() == 1) return best;
    for (const Group*& group : order) {
      const Group* const one[] = {group};
      if (TryOrder(work, one, best)) break;  // dearer ones alone are no better
    }
    if (groups.size() == 2) return best;
    const auto by_value = [&](const Group* a, const Group* b) {
      return a->price * static_cast<double>(AmountOf(*b)) <
             b->price * static_cast<double>(AmountOf(*a));
    };
    std::stable_sort(order.begin(), order.end(), by_value);
    TryOrder(work, order, best);
    std::stable_sort(order.begin(), order.end(),
                     [&](const Group* a, const Group* b) { return AmountOf(*a) > AmountOf(*b); });
    TryOrder(work, order, best);
    return best;
  }

  void Push(int32_t index) {
    NodeWork& work = work_[index];
    ++work.stamp;
    if (work.fit >= request_.shape.per_node_max) return;
    const Step step = NextStep(work);
    if (!step.victims.empty()) heap_.push({ScoreOf(step), index, work.stamp});
  }

  // What the job holds anywhere comes free, and the other nodes' next steps change.
  void Stop(int32_t victim, VictimChoice& choice) {
    Choose(victim);
    choice.victims.push_back(victim);
    const Victim& v = table_.victims[victim];
    choice.cost += v.cost;
    for (int32_t p = v.first_piece; p < v.first_piece + v.num_pieces; ++p) {
      const int32_t index = PositionOf(table_.pieces[p].node);
      if (index < 0) continue;
      NodeWork& work = work_[index];
      work.vacancy.Add(table_.pieces[p]);
      changed_.push_back(index);
    }
  }

  void Recount() {
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const int32_t index : changed_) {
      NodeWork& work = work_[index];
      total_ -= work.fit;
      work.fit = work.vacancy.NumFit(request_.shape);
      total_ += work.fit;
    }
  }

  bool Fill(VictimChoice& choice) {
    for (size_t i = 0; i < work_.size(); ++i) Push(static_cast<int32_t>(i));
    while (total_ < request_.num_tasks) {
      if (heap_.empty()) return false;
      const Entry top = heap_.top();
      heap_.pop();
      NodeWork& work = work_[top.work];
      if (top.stamp != work.stamp) continue;
      const Step step = NextStep(work);
      // Prices were split for what was left then.
      if (const double now = ScoreOf(step); now > top.score * (1 + 1e-9)) {
        heap_.push({now, top.work, work.stamp});
        continue;
      }
      changed_.clear();
      for (const int32_t victim : step.victims) Stop(victim, choice);
      if (static_cast<int64_t>(chosen_.size()) > request_.victims_max) return false;
      if (choice.cost > request_.cost_max) return false;
      Recount();
      for (const int32_t index : changed_) Push(index);
    }
    return true;
  }

  // The dearest first: what was chosen early may not be needed for what was chosen late.
  void DropUnnecessary(VictimChoice& choice) {
    std::vector<int32_t> order = choice.victims;
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return table_.victims[a].cost > table_.victims[b].cost;
    });
    choice.victims.clear();
    for (const int32_t victim : order) {
      if (IsNeeded(victim)) {
        choice.victims.push_back(victim);
      } else {
        choice.cost -= table_.victims[victim].cost;
      }
    }
  }

  // Takes the victim's pieces back; puts them there again when that leaves too little.
  bool IsNeeded(int32_t victim) {
    const Victim& v = table_.victims[victim];
    changed_.clear();
    const auto apply = [&](auto&& change) {
      for (int32_t p = v.first_piece; p < v.first_piece + v.num_pieces; ++p) {
        const int32_t index = PositionOf(table_.pieces[p].node);
        if (index < 0) continue;
        change(work_[index].vacancy, table_.pieces[p]);
        changed_.push_back(index);
      }
      Recount();
    };
    apply([](NodeVacancy& vacancy, const VictimPiece& piece) { vacancy.Remove(piece); });
    if (total_ >= request_.num_tasks) return false;
    apply([](NodeVacancy& vacancy, const VictimPiece& piece) { vacancy.Add(piece); });
    return true;
  }

  const VictimRequest& request_;
  const VictimTable& table_;
  std::vector<NodeWork> work_;
  absl::flat_hash_map<NodeIndex, int32_t> position_;
  absl::InlinedVector<int32_t, 16> chosen_;  // few: looked through
  std::priority_queue<Entry> heap_;
  std::vector<int32_t> changed_;
  int64_t total_ = 0;
};

}  // namespace

VictimChoice ChooseVictims(const VictimRequest& request, absl::Span<const NodeIndex> nodes) {
  return Greedy(request, nodes).Run();
}

}  // namespace oneai::fabric
