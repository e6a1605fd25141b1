#include "base/store/etcd_committer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "base/status.h"

namespace oneai {
namespace {

namespace pb = etcdserverpb;

constexpr char kCommitted[] = "c";
constexpr char kClosed[] = "x";
constexpr int kDeletionTriesMax = 32;
constexpr int kSlotsPerSweep = 100;  // within etcd's 128 operations of a transaction

void AddCompare(const std::string& key, int64_t mod_revision, pb::TxnRequest& request) {
  pb::Compare& compare = *request.add_compare();
  compare.set_result(pb::Compare::EQUAL);
  compare.set_target(pb::Compare::MOD);
  compare.set_key(key);
  compare.set_mod_revision(mod_revision);
}

enum class Fields { kAll, kKeysOnly };

void SetRange(const std::string& key, Fields fields, pb::RequestOp& op) {
  op.mutable_request_range()->set_key(key);
  op.mutable_request_range()->set_keys_only(fields == Fields::kKeysOnly);
}

void SetPut(const std::string& key, absl::string_view value, int64_t lease, pb::RequestOp& op) {
  op.mutable_request_put()->set_key(key);
  op.mutable_request_put()->set_value(value.data(), value.size());
  op.mutable_request_put()->set_lease(lease);
}

// The key that operation `index` read; null when it does not exist.
const pb::KeyValue* ReadBy(const pb::TxnResponse& response, int index) {
  if (index >= response.responses_size()) return nullptr;
  const pb::RangeResponse& range = response.responses(index).response_range();
  return range.kvs_size() > 0 ? &range.kvs(0) : nullptr;
}

int64_t RevisionReadBy(const pb::TxnResponse& response, int index) {
  const pb::KeyValue* item = ReadBy(response, index);
  return item == nullptr ? 0 : item->mod_revision();
}

// The refusal of the first compare that fails by what operations `first`... have read; OK: none.
absl::Status FirstFailure(const Transaction& transaction, const pb::TxnResponse& response,
                          int first) {
  for (size_t i = 0; i < transaction.compares.size(); ++i) {
    const int64_t found = RevisionReadBy(response, first + static_cast<int>(i));
    if (found != transaction.compares[i].mod_revision)
      return CompareFailed(transaction.compares[i], found);
  }
  return absl::OkStatus();
}

absl::Status OutcomeUnknown(absl::Duration waited, const absl::Status& last) {
  return absl::UnavailableError(absl::StrCat(
      "it is not known whether the transaction is committed: etcd did not say within ",
      absl::FormatDuration(waited), "; read again before going on (", last.message(), ")"));
}

}  // namespace

absl::Status EtcdCommitter::Open() {
  pb::RangeRequest request;
  request.set_key(keys_.sweep);
  ASSIGN_OR_RETURN(const pb::RangeResponse response, client_->Range(request));
  sweep_revision_ = response.kvs_size() > 0 ? response.kvs(0).mod_revision() : 0;
  return absl::OkStatus();
}

EtcdCommitter::Slot EtcdCommitter::TakeSlot() {
  absl::MutexLock lock(&mu_);
  if (idle_.empty()) return Slot{absl::StrCat(keys_.slots, NewSecret()), 0, sweep_revision_.load()};
  Slot slot = std::move(idle_.back());
  idle_.pop_back();
  return slot;
}

void EtcdCommitter::GiveBack(Slot slot) {
  // An unwritten one may be swept past; a fresh one costs nothing.
  if (slot.revision == 0) return;
  absl::MutexLock lock(&mu_);
  idle_.push_back(std::move(slot));
}

// Whoever sweeps takes all that were idle for long; new slots are cheaper than finding out which.
void EtcdCommitter::ForgetIdle(int64_t sweep_revision) {
  absl::MutexLock lock(&mu_);
  idle_.clear();
  sweep_revision_ = sweep_revision;
}

void EtcdCommitter::AddSlotCompare(const Slot& slot, pb::TxnRequest& request) const {
  AddCompare(slot.key, slot.revision, request);
  if (slot.revision == 0) AddCompare(keys_.sweep, slot.sweep_revision, request);
}

pb::TxnRequest EtcdCommitter::RequestOf(const Transaction& transaction, const Slot& slot) const {
  pb::TxnRequest request;
  AddSlotCompare(slot, request);
  SetRange(slot.key, Fields::kAll, *request.add_failure());
  SetRange(keys_.sweep, Fields::kKeysOnly, *request.add_failure());
  for (const Compare& compare : transaction.compares) {
    const std::string key = keys_.data + compare.key;
    AddCompare(key, compare.mod_revision, request);
    SetRange(key, Fields::kKeysOnly, *request.add_failure());
  }
  SetPut(slot.key, kCommitted, 0, *request.add_success());
  for (const Mutation& mutation : transaction.mutations) {
    pb::RequestOp& op = *request.add_success();
    if (mutation.kind == Mutation::Kind::kDelete) {
      op.mutable_request_delete_range()->set_key(keys_.data + mutation.key);
    } else {
      SetPut(keys_.data + mutation.key, mutation.value, mutation.lease_id, op);
    }
  }
  return request;
}

absl::StatusOr<int64_t> EtcdCommitter::CommitThroughSlot(const Transaction& transaction) {
  const absl::Time start = absl::Now();
  const absl::Time deadline = start + client_->options().call_timeout;
  Slot slot = TakeSlot();
  bool may_have_landed = false;  // a try of this commit through `slot` broke
  absl::Status last;
  for (int attempt = 0; attempt == 0 || absl::Now() < deadline; ++attempt) {
    absl::SleepFor(EtcdBackoff(attempt));
    EtcdClient::Attempt tried = client_->TryTxn(RequestOf(transaction, slot));
    if (tried.is_uncertain) {
      may_have_landed = true;
      last = tried.response.status();
      continue;
    }
    absl::Status refusal = tried.response.status();
    if (refusal.ok()) {
      const pb::TxnResponse& response = *tried.response;
      if (response.succeeded()) {
        slot.revision = response.header().revision();
        GiveBack(slot);
        return slot.revision;
      }
      const int64_t slot_now = RevisionReadBy(response, 0);
      const int64_t sweep_now = RevisionReadBy(response, 1);
      if (slot_now != 0 && slot_now != slot.revision && may_have_landed) {
        slot.revision = slot_now;
        GiveBack(slot);
        return slot_now;
      }
      if (slot_now != slot.revision || (slot_now == 0 && sweep_now != slot.sweep_revision)) {
        // Swept. After a broken try that may have been swept with its trace, nobody can tell.
        if (may_have_landed) return OutcomeUnknown(absl::Now() - start, last);
        ForgetIdle(sweep_now);
        slot = TakeSlot();
        continue;
      }
      refusal = FirstFailure(transaction, response, 2);
      if (refusal.ok()) return absl::InternalError("etcd refused a transaction that it holds true");
    }
    if (may_have_landed) return Close(std::move(slot), std::move(refusal), deadline);
    GiveBack(std::move(slot));
    return refusal;
  }
  return OutcomeUnknown(absl::Now() - start, last);
}

absl::StatusOr<int64_t> EtcdCommitter::Close(Slot slot, absl::Status refusal, absl::Time deadline) {
  const absl::Time start = absl::Now();
  pb::TxnRequest request;
  AddSlotCompare(slot, request);
  SetPut(slot.key, kClosed, 0, *request.add_success());
  SetRange(slot.key, Fields::kAll, *request.add_failure());
  absl::Status last;
  for (int attempt = 0; attempt == 0 || absl::Now() < deadline; ++attempt) {
    absl::SleepFor(EtcdBackoff(attempt));
    const EtcdClient::Attempt tried = client_->TryTxn(request);
    last = tried.response.status();
    if (tried.is_uncertain) continue;
    if (!last.ok()) break;
    if (tried.response->succeeded()) {
      slot.revision = tried.response->header().revision();
      GiveBack(std::move(slot));
      return refusal;
    }
    const pb::KeyValue* now = ReadBy(*tried.response, 0);
    if (now == nullptr) break;
    const bool landed = now->value() == kCommitted;
    slot.revision = now->mod_revision();
    GiveBack(slot);
    if (landed) return slot.revision;
    return refusal;
  }
  return OutcomeUnknown(absl::Now() - start, last);
}

absl::StatusOr<std::vector<Compare>> EtcdCommitter::Check(const Transaction& transaction) {
  pb::TxnRequest request;
  // With no read at all etcd would not ask the leader, and answer from the past.
  SetRange(keys_.sweep, Fields::kKeysOnly, *request.add_success());
  SetRange(keys_.sweep, Fields::kKeysOnly, *request.add_failure());
  for (const Compare& compare : transaction.compares) {
    AddCompare(keys_.data + compare.key, compare.mod_revision, request);
    SetRange(keys_.data + compare.key, Fields::kKeysOnly, *request.add_failure());
  }
  for (const Mutation& mutation : transaction.mutations)
    SetRange(keys_.data + mutation.key, Fields::kKeysOnly, *request.add_success());
  ASSIGN_OR_RETURN(const pb::TxnResponse response, client_->Read(request));
  if (!response.succeeded()) {
    const absl::Status refusal = FirstFailure(transaction, response, 1);
    if (refusal.ok()) return absl::InternalError("etcd refused a check that it holds true");
    return refusal;
  }
  std::vector<Compare> existing;
  for (size_t i = 0; i < transaction.mutations.size(); ++i) {
    const int64_t found = RevisionReadBy(response, 1 + static_cast<int>(i));
    if (found != 0) existing.push_back({transaction.mutations[i].key, found});
  }
  return existing;
}

// A transaction that only deletes may turn out to change nothing, and must then leave the revision
// as it is; writing the slot would raise it. So it is written only when there is something to
// delete, which a compare holds fast.
absl::StatusOr<int64_t> EtcdCommitter::CommitDeletions(const Transaction& transaction) {
  for (int i = 0; i < kDeletionTriesMax; ++i) {
    ASSIGN_OR_RETURN(const std::vector<Compare> existing, Check(transaction));
    if (existing.empty()) return client_->revision();
    Transaction guarded = transaction;
    guarded.compares.push_back(existing.front());
    const absl::StatusOr<int64_t> revision = CommitThroughSlot(guarded);
    if (!absl::IsAborted(revision.status())) return revision;
  }
  return absl::AbortedError("the keys to delete change too often; try again");
}

absl::StatusOr<int64_t> EtcdCommitter::Commit(const Transaction& transaction) {
  RETURN_IF_ERROR(ValidateTransaction(transaction));
  const bool puts =
      std::any_of(transaction.mutations.begin(), transaction.mutations.end(),
                  [](const Mutation& mutation) { return mutation.kind == Mutation::Kind::kPut; });
  if (puts) return CommitThroughSlot(transaction);
  return CommitDeletions(transaction);
}

absl::Status EtcdCommitter::Sweep(int64_t revision) {
  pb::RangeRequest old;
  old.set_key(keys_.slots);
  old.set_range_end(PrefixEnd(keys_.slots));
  old.set_keys_only(true);
  old.set_max_mod_revision(revision);
  old.set_limit(kSlotsPerSweep);
  ASSIGN_OR_RETURN(const pb::RangeResponse slots, client_->Range(old));
  if (slots.kvs_size() == 0) return absl::OkStatus();
  pb::TxnRequest request;
  SetPut(keys_.sweep, "", 0, *request.add_success());
  for (const pb::KeyValue& slot : slots.kvs()) {
    AddCompare(slot.key(), slot.mod_revision(), request);
    request.add_success()->mutable_request_delete_range()->set_key(slot.key());
  }
  const EtcdClient::Attempt tried = client_->TryTxn(request);
  RETURN_IF_ERROR(tried.response.status());
  // A refusal means that one is in use again, or that another process sweeps: next time.
  if (tried.response->succeeded()) sweep_revision_ = tried.response->header().revision();
  return absl::OkStatus();
}

}  // namespace oneai
