#include "compute_fabric/scheduler/order_queues.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"

namespace oneai::fabric {
namespace {

// The next job of one class in one queue.
struct Cursor {
  const JobView* job = nullptr;
  JobClass job_class = -1;
};

// Queues with waiting jobs, and those above them, as a tree; the jobs directly in a queue are a
// leaf below it. Each inner node keeps its children in order, so the next job is found by going
// down, and what a placement changes lies on one path.
struct OrderNode {
  std::string path;
  int parent = -1;
  bool is_leaf = false;
  QueueRank rank;
  const JobView* head = nullptr;  // the next job at or below; null: none left
  bool in_set = false;            // of its parent's children
  std::optional<int> queue;       // QueueTree::NumberOf, once there is one

  // Leaf.
  std::vector<Cursor> cursors;  // a heap, the first job on top
  bool opened = false;          // cursors are filled when the queue is first served
  bool has_failed = false;
  int num_behind = 0;  // jobs given out after the first that failed
};

}  // namespace

struct QueueOrder::Impl {
  // Among siblings that are all of the rest, or none is.
  struct Before {
    const std::vector<OrderNode>* nodes;
    bool operator()(int a, int b) const {
      const OrderNode& x = (*nodes)[a];
      const OrderNode& y = (*nodes)[b];
      if (RanksBefore(x.rank, y.rank)) return true;
      if (RanksBefore(y.rank, x.rank)) return false;
      if (WaitsBefore(*x.head, *y.head)) return true;
      if (WaitsBefore(*y.head, *x.head)) return false;
      return a < b;
    }
  };
  struct Children {
    std::set<int, Before> with_nominal;
    std::set<int, Before> rest;
  };

  const SchedulerState* state;
  const Policy* policy;
  std::vector<OrderNode> nodes;  // parents before children, by path
  std::vector<Children> children;
  absl::flat_hash_map<std::string, int> by_path;  // inner nodes
  absl::flat_hash_set<JobClass> failed;           // everywhere
  uint64_t version = 0;                           // of the tree that ranks were taken from
  int current = -1;  // leaf of the job that Next() gave and nobody has answered; -1: none
  JobClass current_class = -1;
  int64_t num_considered = 0;

  int AddInner(const std::string& path);
  void AddLeaf(const std::string& path);
  void Build();
  void RankAll();

  QueueRank RankOf(OrderNode& node) const;
  void Remove(int node);
  void Insert(int node);
  const JobView* BestBelow(int inner) const;
  int BestChild(int inner) const;
  void RefreshPath(int leaf);

  void Open(OrderNode& leaf);
  void Close(OrderNode& leaf);
  void SettleHead(OrderNode& leaf);
  void Answered();
};

namespace {

// For std heaps, whose top is the greatest.
bool WaitsAfter(const Cursor& a, const Cursor& b) { return WaitsBefore(*b.job, *a.job); }

}  // namespace

int QueueOrder::Impl::AddInner(const std::string& path) {
  const auto found = by_path.find(path);
  if (found != by_path.end()) return found->second;
  int parent = -1;
  if (!path.empty()) {
    const size_t slash = path.rfind('/');
    parent = AddInner(slash == std::string::npos ? std::string() : path.substr(0, slash));
  }
  const int index = static_cast<int>(nodes.size());
  OrderNode node;
  node.path = path;
  node.parent = parent;
  nodes.push_back(std::move(node));
  by_path[path] = index;
  return index;
}

void QueueOrder::Impl::AddLeaf(const std::string& path) {
  OrderNode leaf;
  leaf.path = path;
  leaf.parent = AddInner(path);
  leaf.is_leaf = true;
  state->jobs.VisitWaiting(path, [&](const JobView& job) {
    leaf.head = &job;
    return false;
  });
  nodes.push_back(std::move(leaf));
}

void QueueOrder::Impl::Build() {
  AddInner("");
  for (const std::string& queue : state->jobs.QueuesWithWaiting()) AddLeaf(queue);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Before before{&nodes};
    children.push_back({std::set<int, Before>(before), std::set<int, Before>(before)});
  }
  RankAll();
}

void QueueOrder::Impl::RankAll() {
  for (Children& set : children) {
    set.with_nominal.clear();
    set.rest.clear();
  }
  for (int i = static_cast<int>(nodes.size()) - 1; i >= 0; --i) {
    OrderNode& node = nodes[i];
    node.in_set = false;
    node.rank = RankOf(node);
    if (!node.is_leaf) node.head = BestBelow(i);
    Insert(i);
  }
  version = state->queues.version();
}

QueueRank QueueOrder::Impl::RankOf(OrderNode& node) const {
  const QueueTree& queues = state->queues;
  if (!node.queue) node.queue = queues.NumberOf(node.path);
  if (node.is_leaf) {
    return node.queue ? queues.RankOfOwnJobs(*node.queue) : queues.RankOfOwnJobs(node.path);
  }
  return node.queue ? queues.RankOf(*node.queue) : queues.RankOf(node.path);
}

void QueueOrder::Impl::Remove(int index) {
  OrderNode& node = nodes[index];
  if (!node.in_set) return;
  Children& set = children[node.parent];
  (node.rank.rest ? set.rest : set.with_nominal).erase(index);
  node.in_set = false;
}

void QueueOrder::Impl::Insert(int index) {
  OrderNode& node = nodes[index];
  if (node.parent < 0 || node.head == nullptr) return;
  Children& set = children[node.parent];
  (node.rank.rest ? set.rest : set.with_nominal).insert(index);
  node.in_set = true;
}

int QueueOrder::Impl::BestChild(int inner) const {
  const Children& set = children[inner];
  if (set.rest.empty() && set.with_nominal.empty()) return -1;
  if (set.rest.empty()) return *set.with_nominal.begin();
  if (set.with_nominal.empty()) return *set.rest.begin();
  return std::min(*set.rest.begin(), *set.with_nominal.begin(), Before{&nodes});
}

const JobView* QueueOrder::Impl::BestBelow(int inner) const {
  const int best = BestChild(inner);
  return best < 0 ? nullptr : nodes[best].head;
}

// Ranks and heads from a leaf up to the root. The rest of a queue ranks as a whole: when one of it
// is served, what has changed for its siblings is `borrows` and `group`, the same for all of them
// and so without effect on their order; the best of them is told before it is compared.
void QueueOrder::Impl::RefreshPath(int leaf) {
  for (int n = leaf; n >= 0; n = nodes[n].parent) {
    Remove(n);
    OrderNode& node = nodes[n];
    node.rank = RankOf(node);
    if (!node.is_leaf) {
      const std::set<int, Before>& rest = children[n].rest;
      if (!rest.empty()) {
        const int best = *rest.begin();
        OrderNode& first = nodes[best];
        const QueueRank now = RankOf(first);
        first.rank.borrows = now.borrows;
        first.rank.group = now.group;
      }
      node.head = BestBelow(n);
    }
    Insert(n);
  }
}

void QueueOrder::Impl::Open(OrderNode& leaf) {
  if (leaf.opened) return;
  leaf.opened = true;
  for (const JobClass job_class : state->jobs.WaitingClasses(leaf.path)) {
    const JobView* const job = state->jobs.FirstWaiting(leaf.path, job_class);
    if (job != nullptr) leaf.cursors.push_back({job, job_class});
  }
  std::make_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
}

void QueueOrder::Impl::Close(OrderNode& leaf) {
  leaf.cursors.clear();
  leaf.head = nullptr;
}

// Drops classes that have failed, and jobs that wait no more (told to stop in this pass while the
// rest of them was waiting); the head is what is on top then.
void QueueOrder::Impl::SettleHead(OrderNode& leaf) {
  while (!leaf.cursors.empty()) {
    const Cursor& top = leaf.cursors.front();
    const bool is_done = failed.contains(top.job_class);
    if (!is_done && IsWaiting(*top.job)) break;
    std::pop_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
    Cursor& cursor = leaf.cursors.back();
    cursor.job =
        is_done ? nullptr : state->jobs.FirstWaiting(leaf.path, cursor.job_class, cursor.job);
    if (cursor.job == nullptr) {
      leaf.cursors.pop_back();
    } else {
      std::push_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
    }
  }
  leaf.head = leaf.cursors.empty() ? nullptr : leaf.cursors.front().job;
}

QueueOrder::QueueOrder(const SchedulerState* state, const Policy* policy)
    : impl_(std::make_unique<Impl>()) {
  impl_->state = state;
  impl_->policy = policy;
  impl_->Build();
}

QueueOrder::~QueueOrder() = default;

const JobView* QueueOrder::Next() {
  Impl& impl = *impl_;
  if (impl.current >= 0) Failed(Failure::kThisJobOnly);
  // Somebody else's use has changed too (an eviction, a reconcile).
  if (impl.version != impl.state->queues.version()) impl.RankAll();
  for (;;) {
    int n = 0;
    while (n >= 0 && !impl.nodes[n].is_leaf) n = impl.BestChild(n);
    if (n < 0) return nullptr;
    OrderNode& leaf = impl.nodes[n];
    const JobView* const expected = leaf.head;
    impl.Open(leaf);
    impl.SettleHead(leaf);
    if (leaf.head != expected) {
      // Its first jobs are of classes that have failed meanwhile: it may not be the first any more.
      const JobView* const head = leaf.head;
      leaf.head = expected;
      impl.Remove(n);
      leaf.head = head;
      impl.RefreshPath(n);
      continue;
    }
    // The successor is looked up now: the job may be replaced before the next call.
    std::pop_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
    Cursor& cursor = leaf.cursors.back();
    const JobView* const job = cursor.job;
    impl.current = n;
    impl.current_class = cursor.job_class;
    cursor.job = impl.state->jobs.FirstWaiting(leaf.path, cursor.job_class, job);
    if (cursor.job == nullptr) {
      leaf.cursors.pop_back();
    } else {
      std::push_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
    }
    // Until the caller says what became of it, its path is out of the order: the job that heads it
    // may be replaced, and with it what the order looks at.
    for (int above = n; above >= 0; above = impl.nodes[above].parent) impl.Remove(above);
    ++impl.num_considered;
    if (leaf.has_failed && ++leaf.num_behind >= impl.policy->backfill_depth) impl.Close(leaf);
    return job;
  }
}

void QueueOrder::Impl::Answered() {
  SettleHead(nodes[current]);
  RefreshPath(current);
  version = state->queues.version();
  current = -1;
}

void QueueOrder::Placed() {
  if (impl_->current >= 0) impl_->Answered();
}

void QueueOrder::Failed(Failure failure) {
  Impl& impl = *impl_;
  if (impl.current < 0) return;
  OrderNode& leaf = impl.nodes[impl.current];
  leaf.has_failed = true;
  if (failure == Failure::kNoRoom) impl.failed.insert(impl.current_class);
  if (failure == Failure::kQuota) {
    const auto of_class = [&](const Cursor& c) { return c.job_class == impl.current_class; };
    leaf.cursors.erase(std::remove_if(leaf.cursors.begin(), leaf.cursors.end(), of_class),
                       leaf.cursors.end());
    std::make_heap(leaf.cursors.begin(), leaf.cursors.end(), WaitsAfter);
  }
  if (impl.policy->head_of_line == HeadOfLine::kBlock) impl.Close(leaf);
  impl.Answered();
}

int64_t QueueOrder::num_considered() const { return impl_->num_considered; }

}  // namespace oneai::fabric
