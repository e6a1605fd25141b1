#include "models/tokenizer/bpe_model.h"

#include <queue>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "models/tokenizer/byte_alphabet.h"

namespace oneai::models {
namespace {

// Below this a scan per merge beats the heap.
constexpr size_t kShortPiece = 48;

}  // namespace

// Natural text repeats its words: the cache answers some 95% of pieces. It stops growing when full
// rather than evicting, since the frequent words come first. Sharded, so that threads seldom meet.
class BpeModel::WordCache {
 public:
  static constexpr size_t kWordBytesMax = 64;

  bool Find(absl::string_view word, std::vector<TokenId>& out) {
    Shard& shard = ShardOf(word);
    absl::MutexLock lock(&shard.mu);
    auto it = shard.words.find(word);
    if (it == shard.words.end()) return false;
    out.insert(out.end(), it->second.begin(), it->second.end());
    return true;
  }

  void Insert(absl::string_view word, const std::vector<TokenId>& tokens) {
    Shard& shard = ShardOf(word);
    absl::MutexLock lock(&shard.mu);
    if (shard.words.size() < kWordsPerShard)
      shard.words.try_emplace(std::string(word), tokens.begin(), tokens.end());
  }

 private:
  static constexpr size_t kShards = 32, kWordsPerShard = 2048;
  struct Shard {
    absl::Mutex mu;
    absl::flat_hash_map<std::string, absl::InlinedVector<TokenId, 4>> words ABSL_GUARDED_BY(mu);
  };
  Shard& ShardOf(absl::string_view word) {
    return shards_[absl::Hash<absl::string_view>()(word) / 7 % kShards];
  }
  Shard shards_[kShards];
};

BpeModel::BpeModel() : cache_(std::make_unique<WordCache>()) {}
BpeModel::~BpeModel() = default;

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Create(const TokenizerSpec& spec) {
  auto model = std::unique_ptr<BpeModel>(new BpeModel());
  model->ignore_merges_ = spec.ignore_merges;
  model->vocab_.reserve(spec.vocab.size());
  absl::flat_hash_set<TokenId> ids;
  ids.reserve(spec.vocab.size());
  for (const auto& [token, id] : spec.vocab) {
    if (id < 0 || id > kTokenIdMax)
      return absl::InvalidArgumentError(
          absl::StrCat("vocab: token '", token, "' has id ", id, ", not in 0 .. ", kTokenIdMax));
    if (!ids.insert(id).second)
      return absl::InvalidArgumentError(absl::StrCat("vocab: id ", id, " is given to two tokens"));
    if (!model->vocab_.emplace(token, id).second)
      return absl::InvalidArgumentError(absl::StrCat("vocab: token '", token, "' is given twice"));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string spelled = SpellBytes(std::string(1, static_cast<char>(byte)));
    const TokenId* id = model->Find(spelled);
    if (id == nullptr)
      return absl::InvalidArgumentError(absl::StrCat(
          "vocab: byte ", byte, " (spelled '", spelled,
          "') has no token, so not every text could be encoded; is it byte-level BPE?"));
    model->byte_tokens_[byte] = *id;
  }
  RETURN_IF_ERROR(model->AddMerges(spec));
  return model;
}

absl::Status BpeModel::AddMerges(const TokenizerSpec& spec) {
  merges_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    const TokenId* left_id = Find(left);
    const TokenId* right_id = Find(right);
    const TokenId* result = Find(left + right);
    if (left_id == nullptr || right_id == nullptr || result == nullptr)
      return absl::InvalidArgumentError(
          absl::StrCat("merges: number ", rank, " ('", left, "' + '", right,
                       "') uses a token that is not in the vocabulary"));
    merges_[static_cast<uint64_t>(*left_id) << 32 | static_cast<uint32_t>(*right_id)] = {
        static_cast<int32_t>(rank), *result};
  }
  return absl::OkStatus();
}

const TokenId* BpeModel::Find(absl::string_view spelled) const {
  auto it = vocab_.find(spelled);
  return it == vocab_.end() ? nullptr : &it->second;
}

const BpeModel::Merge* BpeModel::FindMerge(TokenId left, TokenId right) const {
  auto it = merges_.find(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right));
  return it == merges_.end() ? nullptr : &it->second;
}

void BpeModel::EncodePiece(absl::string_view piece, std::vector<TokenId>& out) const {
  if (piece.size() == 1) {
    out.push_back(byte_tokens_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  const bool cacheable = piece.size() <= WordCache::kWordBytesMax;
  if (cacheable && cache_->Find(piece, out)) return;
  std::vector<TokenId> symbols;
  const TokenId* whole = ignore_merges_ ? Find(SpellBytes(piece)) : nullptr;
  if (whole != nullptr) {
    symbols.push_back(*whole);
  } else {
    symbols.reserve(piece.size());
    for (const char byte : piece) symbols.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
    if (symbols.size() <= kShortPiece) {
      MergeShort(symbols);
    } else {
      MergeLong(symbols);
    }
  }
  out.insert(out.end(), symbols.begin(), symbols.end());
  if (cacheable) cache_->Insert(piece, symbols);
}

void BpeModel::MergeShort(std::vector<TokenId>& symbols) const {
  // candidates[i] is the merge of symbols i and i + 1.
  absl::InlinedVector<const Merge*, kShortPiece> candidates;
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    candidates.push_back(FindMerge(symbols[i], symbols[i + 1]));
  while (!candidates.empty()) {
    size_t best = candidates.size();
    for (size_t i = 0; i < candidates.size(); ++i)
      if (candidates[i] != nullptr &&
          (best == candidates.size() || candidates[i]->rank < candidates[best]->rank))
        best = i;
    if (best == candidates.size()) return;
    symbols[best] = candidates[best]->result;
    symbols.erase(symbols.begin() + best + 1);
    candidates.erase(candidates.begin() + best);
    if (best > 0) candidates[best - 1] = FindMerge(symbols[best - 1], symbols[best]);
    if (best < candidates.size()) candidates[best] = FindMerge(symbols[best], symbols[best + 1]);
  }
}

void BpeModel::MergeLong(std::vector<TokenId>& symbols) const {
  // A doubly linked list over positions, and a heap of candidate merges; stale candidates are
  // recognised when they surface, because the pair at their position is no longer the one they were
  // made for.
  struct Node {
    TokenId id;
    int32_t previous, next;
  };
  struct Candidate {
    int32_t rank, position;
    TokenId left, right, result;
    bool operator<(const Candidate& other) const {  // the queue keeps the largest on top
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const int32_t count = static_cast<int32_t>(symbols.size());
  std::vector<Node> nodes(count);
  std::priority_queue<Candidate> queue;
  auto offer = [&](int32_t position) {
    if (position < 0 || nodes[position].next < 0) return;
    const TokenId left = nodes[position].id, right = nodes[nodes[position].next].id;
    if (const Merge* merge = FindMerge(left, right))
      queue.push({merge->rank, position, left, right, merge->result});
  };
  for (int32_t i = 0; i < count; ++i) nodes[i] = {symbols[i], i - 1, i + 1 < count ? i + 1 : -1};
  for (int32_t i = 0; i < count; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Node& node = nodes[top.position];
    if (node.id != top.left || node.next < 0 || nodes[node.next].id != top.right) continue;
    Node& absorbed = nodes[node.next];
    node.id = top.result;
    node.next = absorbed.next;
    absorbed.id = -1;  // dead: matches no candidate
    if (node.next >= 0) nodes[node.next].previous = top.position;
    offer(node.previous);
    offer(top.position);
  }
  symbols.clear();
  for (int32_t i = 0; i >= 0; i = nodes[i].next) symbols.push_back(nodes[i].id);
}

}  // namespace oneai::models
