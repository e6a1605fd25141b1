#include "model_platform/data/packed_sequences.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/status.h"

namespace oneai::platform {
namespace {

// A counter-based generator whose stream is named by (seed, epoch, purpose).
// Source: SplitMix64, Steele, Lea, Flood, OOPSLA 2014.
class Random {
 public:
  Random(uint64_t seed, uint64_t epoch, uint64_t purpose)
      : state_(Mix(Mix(Mix(seed) ^ epoch) ^ purpose)) {}

  // Uniform in [0, bound), exactly: values of the incomplete last range are drawn again.
  uint64_t Below(uint64_t bound) {
    const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = Mix(state_++);
    while (value >= limit) value = Mix(state_++);
    return value % bound;
  }

 private:
  static uint64_t Mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

// Fisher-Yates. std::shuffle would do, but its result may differ between standard libraries.
std::vector<int64_t> Permutation(int64_t count, Random random) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  return order;
}

constexpr uint64_t kDocuments = 1, kSequences = 2;

}  // namespace

PackedSequences::PackedSequences(TokenFile file, int64_t max_length, int64_t vocab_size,
                                 uint64_t seed)
    : file_(std::move(file)),
      max_length_(max_length),
      vocab_size_(vocab_size),
      seed_(seed),
      sequences_per_epoch_(file_.num_tokens() / max_length) {}

absl::StatusOr<PackedSequences> PackedSequences::Create(TokenFile file, int64_t max_length,
                                                        int64_t vocab_size, uint64_t seed) {
  if (file.num_tokens() < max_length) {
    return absl::FailedPreconditionError(
        absl::StrCat("the training split has ", file.num_tokens(),
                     " tokens, fewer than one sequence of max_length ", max_length,
                     ": lower max_length or add data"));
  }
  return PackedSequences(std::move(file), max_length, vocab_size, seed);
}

void PackedSequences::EnterEpoch(int64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  document_order_ = Permutation(file_.num_documents(), Random(seed_, epoch, kDocuments));
  sequence_order_ = Permutation(sequences_per_epoch_, Random(seed_, epoch, kSequences));
  stream_begin_.assign(1, 0);
  for (const int64_t document : document_order_) {
    stream_begin_.push_back(stream_begin_.back() + file_.length(document));
  }
}

absl::StatusOr<PackedSequence> PackedSequences::Get(int64_t sample) {
  EnterEpoch(sample / sequences_per_epoch_);
  const int64_t begin = sequence_order_[sample % sequences_per_epoch_] * max_length_;
  const int64_t end = begin + max_length_;
  int64_t slot = std::upper_bound(stream_begin_.begin(), stream_begin_.end(), begin) -
                 stream_begin_.begin() - 1;
  PackedSequence out;
  out.tokens.reserve(max_length_ + 1);
  out.targets.reserve(max_length_);
  for (int64_t at = begin; at < end; ++slot) {
    const int64_t document = document_order_[slot], length = file_.length(document);
    const int64_t first = at - stream_begin_[slot], count = std::min(length - first, end - at);
    if (count == 0) continue;
    out.document_starts.push_back(at - begin);
    // One more than this sequence holds: the target of its last token, when the document goes on.
    const int64_t with_target = std::min(count + 1, length - first);
    const size_t base = out.tokens.size();
    file_.Append(document, first, with_target, out.tokens);
    for (int64_t i = 1; i < with_target; ++i) out.targets.push_back(out.tokens[base + i]);
    if (with_target == count) out.targets.push_back(kIgnoredLabel);
    out.tokens.resize(base + count);
    at += count;
  }
  auto outside = [&](int64_t id) { return id < 0 || id >= vocab_size_; };
  if (std::ranges::any_of(out.tokens, outside)) {
    return absl::DataLossError(
        absl::StrCat("the token file holds an id outside of the vocabulary of ", vocab_size_));
  }
  return out;
}

}  // namespace oneai::platform
