#include "serving/grammar/token_vocabulary.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace oneai::serving {
namespace {

constexpr int64_t kNumTokensMax = 1 << 24;

size_t CommonPrefix(absl::string_view a, absl::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TokenVocabulary>> TokenVocabulary::Create(
    const models::Tokenizer& tokenizer, std::vector<int32_t> end_ids, int64_t num_tokens) {
  if (num_tokens < 1 || num_tokens > kNumTokensMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a vocabulary has 1 to ", kNumTokensMax, " tokens, not ", num_tokens));
  }
  std::vector<std::string> bytes(num_tokens);
  const int64_t num_known = std::min(num_tokens, tokenizer.vocab_size());
  for (int64_t id = 0; id < num_known; ++id) {
    if (!tokenizer.IsSpecial(id)) bytes[id] = std::string(tokenizer.TokenBytes(id));
  }
  return FromBytes(std::move(bytes), std::move(end_ids));
}

absl::StatusOr<std::shared_ptr<const TokenVocabulary>> TokenVocabulary::FromBytes(
    std::vector<std::string> token_bytes, std::vector<int32_t> end_ids) {
  if (token_bytes.empty()) return absl::InvalidArgumentError("a vocabulary without tokens");
  std::shared_ptr<TokenVocabulary> vocabulary(new TokenVocabulary);
  vocabulary->bytes_ = std::move(token_bytes);
  std::sort(end_ids.begin(), end_ids.end());
  end_ids.erase(std::unique(end_ids.begin(), end_ids.end()), end_ids.end());
  for (int32_t id : end_ids) {
    if (id < 0 || id >= vocabulary->num_tokens()) {
      return absl::InvalidArgumentError(absl::StrCat("end token ", id, " is not one of the ",
                                                     vocabulary->num_tokens(), " tokens"));
    }
    vocabulary->bytes_[id].clear();
  }
  vocabulary->end_ids_ = std::move(end_ids);
  vocabulary->BuildTrie();
  return vocabulary;
}

bool TokenVocabulary::IsEnd(int32_t token) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), token);
}

// Tokens in the order of their bytes are the trie in depth-first order: each one adds nodes for the
// bytes that it does not share with the one before.
void TokenVocabulary::BuildTrie() {
  std::vector<int32_t> order;
  for (int32_t id = 0; id < num_tokens(); ++id) {
    if (bytes_[id].size() > kTokenBytesMax) bytes_[id].clear();
    if (!bytes_[id].empty()) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int compared = bytes_[a].compare(bytes_[b]);
    return compared != 0 ? compared < 0 : a < b;
  });
  next_same_.assign(bytes_.size(), -1);
  std::vector<int32_t> open;  // nodes of the last token, by depth
  absl::string_view last;
  for (size_t i = 0; i < order.size(); ++i) {
    const absl::string_view bytes = bytes_[order[i]];
    token_bytes_max_ = std::max<int64_t>(token_bytes_max_, bytes.size());
    if (i > 0 && bytes == last) {
      next_same_[order[i - 1]] = order[i];
      continue;
    }
    const size_t shared = CommonPrefix(last, bytes);
    while (open.size() > shared) {
      trie_[open.back()].skip = static_cast<int32_t>(trie_.size());
      open.pop_back();
    }
    for (size_t d = shared; d < bytes.size(); ++d) {
      open.push_back(static_cast<int32_t>(trie_.size()));
      trie_.push_back({.skip = 0,
                       .token = -1,
                       .depth = static_cast<uint16_t>(d + 1),
                       .byte = static_cast<uint8_t>(bytes[d])});
    }
    trie_.back().token = order[i];
    last = bytes;
  }
  for (int32_t node : open) trie_[node].skip = static_cast<int32_t>(trie_.size());
}

}  // namespace oneai::serving
