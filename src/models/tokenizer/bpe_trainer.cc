// Counts are kept per distinct piece, so a merge touches only the pieces that contain its pair; a
// heap yields the most frequent pair, with stale entries corrected when they surface.
#include "models/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/unicode_text.h"

namespace oneai::models {
namespace {

using Pair = std::pair<TokenId, TokenId>;

struct Word {
  std::vector<TokenId> symbols;
  int64_t count;
};

struct Candidate {
  int64_t count;
  Pair pair;
  std::vector<int32_t> words;  // where the pair was seen when this entry was made
  int64_t round;               // when that was; makes the order total, so independent of hashing
};

struct WorseThan {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return std::tie(a.count, b.pair, b.round) < std::tie(b.count, a.pair, a.round);
  }
};

class Trainer {
 public:
  Trainer(const BpeTrainerOptions& options, TokenizerSpec& spec) : options_(options), spec_(spec) {}

  void AddInitialTokens() {
    for (const std::string& token : options_.special_tokens) {
      const TokenId id = AddToken(token);
      spec_.added_tokens.push_back({.id = id, .content = token, .special = true});
    }
    // The alphabet in the order of its code points, not of the bytes.
    std::vector<std::pair<uint32_t, int>> alphabet;
    for (int byte = 0; byte < 256; ++byte) alphabet.push_back({ByteAlphabet()[byte], byte});
    std::sort(alphabet.begin(), alphabet.end());
    for (const auto& [code_point, byte] : alphabet)
      byte_tokens_[byte] = AddToken(SpellBytes(std::string(1, static_cast<char>(byte))));
  }

  void AddWords(absl::Span<const absl::string_view> documents) {
    absl::flat_hash_map<std::string, int64_t> counts;
    for (absl::string_view document : documents) {
      const std::string normalized = options_.nfc ? ToNfc(document) : std::string(document);
      ForEachPiece(normalized, options_.pattern, [&](absl::string_view piece) {
        auto it = counts.find(piece);
        if (it == counts.end()) it = counts.emplace(piece, 0).first;
        ++it->second;
      });
    }
    for (const auto& [piece, count] : counts) {
      Word word{{}, count};
      for (const char byte : piece)
        word.symbols.push_back(byte_tokens_[static_cast<uint8_t>(byte)]);
      words_.push_back(std::move(word));
    }
  }

  void CountPairs() {
    for (size_t w = 0; w < words_.size(); ++w) {
      const std::vector<TokenId>& symbols = words_[w].symbols;
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        ChangeCount({symbols[i], symbols[i + 1]}, words_[w].count, static_cast<int32_t>(w));
    }
    OfferNewPairs();
  }

  void Run() {
    while (static_cast<int64_t>(spec_.vocab.size()) < options_.vocab_size && !queue_.empty()) {
      Candidate top = queue_.top();
      queue_.pop();
      if (const int64_t count = counts_[top.pair]; top.count != count) {
        top.count = count;
        queue_.push(std::move(top));
        continue;
      }
      if (top.count < std::max<int64_t>(options_.min_count, 1)) break;
      ApplyMerge(top);
      OfferNewPairs();
    }
  }

 private:
  TokenId AddToken(const std::string& token) {
    const auto [it, inserted] = ids_.emplace(token, static_cast<TokenId>(spec_.vocab.size()));
    if (inserted) spec_.vocab.emplace_back(token, it->second);
    return it->second;
  }

  // Positive changes record where the pair now occurs.
  void ChangeCount(Pair pair, int64_t change, int32_t word) {
    counts_[pair] += change;
    if (change > 0) {
      std::vector<int32_t>& words = seen_in_[pair];
      if (words.empty() || words.back() != word) words.push_back(word);
    }
  }

  void OfferNewPairs() {
    for (auto& [pair, words] : seen_in_)
      if (const int64_t count = counts_[pair]; count > 0)
        queue_.push({count, pair, std::move(words), round_});
    seen_in_.clear();
    ++round_;
  }

  void ApplyMerge(const Candidate& top) {
    const std::string left = spec_.vocab[top.pair.first].first;
    const std::string right = spec_.vocab[top.pair.second].first;
    const TokenId merged = AddToken(left + right);
    // A pair can surface twice when another pair spells the same token; it is listed once.
    if (merged_.insert(top.pair).second) spec_.merges.emplace_back(left, right);
    for (int32_t w : top.words) MergeInWord(top.pair, merged, w);
  }

  void MergeInWord(Pair pair, TokenId merged, int32_t w) {
    std::vector<TokenId>& symbols = words_[w].symbols;
    const int64_t count = words_[w].count;
    size_t out = 0;
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 >= symbols.size() || Pair(symbols[i], symbols[i + 1]) != pair) {
        symbols[out++] = symbols[i];
        continue;
      }
      if (out > 0) {
        ChangeCount({symbols[out - 1], pair.first}, -count, w);
        ChangeCount({symbols[out - 1], merged}, count, w);
      }
      if (i + 2 < symbols.size()) {
        ChangeCount({pair.second, symbols[i + 2]}, -count, w);
        ChangeCount({merged, symbols[i + 2]}, count, w);
      }
      symbols[out++] = merged;
      ++i;
    }
    symbols.resize(out);
  }

  const BpeTrainerOptions& options_;
  TokenizerSpec& spec_;
  TokenId byte_tokens_[256];
  absl::flat_hash_map<std::string, TokenId> ids_;
  std::vector<Word> words_;
  absl::flat_hash_map<Pair, int64_t> counts_;
  absl::flat_hash_map<Pair, std::vector<int32_t>> seen_in_;
  absl::flat_hash_set<Pair> merged_;
  int64_t round_ = 0;
  std::priority_queue<Candidate, std::vector<Candidate>, WorseThan> queue_;
};

absl::Status CheckOptions(const BpeTrainerOptions& options) {
  const int64_t num_special = static_cast<int64_t>(options.special_tokens.size());
  if (options.vocab_size < 256 + num_special || options.vocab_size > 1 << 24)
    return absl::InvalidArgumentError(absl::StrCat("vocab_size ", options.vocab_size,
                                                   " must be from ", 256 + num_special,
                                                   " (the bytes and the special tokens) to 2^24"));
  absl::flat_hash_set<std::string> seen;
  for (const std::string& token : options.special_tokens)
    if (token.size() < 2 || !seen.insert(token).second)
      return absl::InvalidArgumentError(absl::StrCat(
          "special token '", token, "' is too short (2 bytes at least) or given twice"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> TrainBpe(absl::Span<const absl::string_view> documents,
                                       const BpeTrainerOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  TokenizerSpec spec;
  spec.pattern = options.pattern;
  spec.nfc = options.nfc;
  Trainer trainer(options, spec);
  trainer.AddInitialTokens();
  trainer.AddWords(documents);
  trainer.CountPairs();
  trainer.Run();
  return spec;
}

TokenizerConfig MakeTokenizerConfig(const TokenizerSpec& spec, std::string chat_template,
                                    int64_t model_max_length) {
  TokenizerConfig config;
  config.added_tokens = spec.added_tokens;
  for (const AddedToken& token : spec.added_tokens) {
    if (token.content == "<|endoftext|>") config.pad_token = token.content;
    if (token.content == "<|im_end|>") config.eos_token = token.content;
  }
  if (!config.eos_token) config.eos_token = config.pad_token;
  if (!chat_template.empty()) config.chat_template = std::move(chat_template);
  config.model_max_length = model_max_length;
  return config;
}

}  // namespace oneai::models
