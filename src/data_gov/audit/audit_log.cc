#include "data_gov/audit/audit_log.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/time_util.h>
#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"

namespace oneai::gov {
namespace {

using data::v1::AuditRecord;

constexpr char kPrefix[] = "audit/";
constexpr char kEnd[] = "audit0";  // the first key after the prefix: '0' follows '/'
constexpr int64_t kScanPage = 1000;
constexpr int64_t kQueryLimitMax = 1000;

std::string KeyOf(int64_t sequence) { return absl::StrFormat("%s%020d", kPrefix, sequence); }

std::string DeterministicEncoding(const AuditRecord& record) {
  AuditRecord content = record;
  content.clear_previous_hash();
  content.clear_hash();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    content.SerializeToCodedStream(&coded);
  }
  return bytes;
}

absl::StatusOr<AuditRecord> Parse(const KeyValue& item) {
  AuditRecord record;
  if (!record.ParseFromString(item.value)) {
    return absl::DataLossError(absl::StrCat("audit record ", item.key, " does not parse"));
  }
  return record;
}

}  // namespace

std::string HashOf(const AuditRecord& record) {
  const std::string content = record.previous_hash() + DeterministicEncoding(record);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(Store* store, const Clock* clock) {
  std::unique_ptr<AuditLog> log(new AuditLog(store, clock));
  ASSIGN_OR_RETURN(const RangeResult newest, store->Range(kPrefix, kEnd, 1, /*reverse=*/true));
  if (!newest.items.empty()) {
    ASSIGN_OR_RETURN(const AuditRecord head, Parse(newest.items[0]));
    absl::MutexLock lock(&log->mu_);
    log->next_sequence_ = head.sequence() + 1;
    log->head_hash_ = head.hash();
  }
  return log;
}

absl::Status AuditLog::Append(const AuditEntry& entry) {
  absl::MutexLock lock(&mu_);
  AuditRecord record;
  record.set_sequence(next_sequence_);
  *record.mutable_time() =
      google::protobuf::util::TimeUtil::MillisecondsToTimestamp(absl::ToUnixMillis(clock_->Now()));
  *record.mutable_principal() = entry.principal;
  record.set_action(entry.action);
  record.set_resource(entry.resource);
  record.set_purpose(entry.purpose);
  record.set_allowed(entry.allowed);
  record.set_detail(entry.detail);
  record.set_previous_hash(head_hash_);
  record.set_hash(HashOf(record));
  Transaction transaction;
  transaction.If(KeyOf(next_sequence_), 0).Put(KeyOf(next_sequence_), record.SerializeAsString());
  RETURN_IF_ERROR(Annotate(store_->Commit(transaction).status(), "writing the audit log"));
  ++next_sequence_;
  head_hash_ = record.hash();
  return absl::OkStatus();
}

absl::StatusOr<data::v1::QueryAuditResponse> AuditLog::Query(
    const data::v1::QueryAuditRequest& request, const Visible& visible) const {
  const int64_t limit =
      request.limit() <= 0 ? 100 : std::min<int64_t>(request.limit(), kQueryLimitMax);
  data::v1::QueryAuditResponse response;
  std::string end =
      request.before_sequence() > 0 ? KeyOf(request.before_sequence()) : std::string(kEnd);
  while (response.records_size() < limit) {
    ASSIGN_OR_RETURN(const RangeResult page,
                     store_->Range(kPrefix, end, kScanPage, /*reverse=*/true));
    for (const KeyValue& item : page.items) {
      ASSIGN_OR_RETURN(AuditRecord record, Parse(item));
      const bool matches =
          (request.resource().empty() || record.resource() == request.resource()) &&
          (request.principal().empty() || record.principal().name() == request.principal()) &&
          (request.action().empty() || record.action() == request.action()) &&
          (visible == nullptr || visible(record));
      if (matches) *response.add_records() = std::move(record);
      if (response.records_size() == limit) return response;
    }
    if (static_cast<int64_t>(page.items.size()) < kScanPage) break;
    end = page.items.back().key;
  }
  return response;
}

absl::StatusOr<data::v1::VerifyAuditResponse> AuditLog::Verify() const {
  data::v1::VerifyAuditResponse response;
  std::string previous_hash;
  int64_t expected = 1;
  std::string from = kPrefix;
  const auto broken = [&](int64_t sequence, std::string why) {
    response.set_intact(false);
    response.set_first_bad_sequence(sequence);
    response.set_explanation(std::move(why));
    return response;
  };
  for (;;) {
    ASSIGN_OR_RETURN(const RangeResult page,
                     store_->Range(from, kEnd, kScanPage, /*reverse=*/false));
    for (const KeyValue& item : page.items) {
      AuditRecord record;
      if (!record.ParseFromString(item.value)) return broken(expected, "the record does not parse");
      if (record.sequence() != expected || item.key != KeyOf(expected)) {
        return broken(expected, absl::StrCat("record ", expected, " is missing or out of place"));
      }
      if (record.previous_hash() != previous_hash) {
        return broken(expected, "the record does not continue the one before it");
      }
      if (record.hash() != HashOf(record))
        return broken(expected, "the record was changed after it was written");
      previous_hash = record.hash();
      ++expected;
    }
    if (static_cast<int64_t>(page.items.size()) < kScanPage) break;
    from = page.items.back().key + '\0';
  }
  response.set_intact(true);
  response.set_num_records(expected - 1);
  response.set_head_hash(previous_hash);
  return response;
}

}  // namespace oneai::gov
