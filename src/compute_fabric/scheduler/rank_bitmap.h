// File: compute_fabric/scheduler/rank_bitmap.h
//
// A set of positions with "next one from here" in a few instructions: two levels of words.
#pragma once

#include <cstdint>
#include <vector>

namespace oneai::fabric {

// Thread-compatible; copyable.
class RankBitmap {
 public:
  explicit RankBitmap(int32_t size = 0)
      : words_((size + 63) / 64), summary_((words_.size() + 63) / 64) {}

  void Insert(int32_t position) {
    uint64_t& word = words_[position >> 6];
    const uint64_t bit = uint64_t{1} << (position & 63);
    count_ += (word & bit) == 0 ? 1 : 0;
    word |= bit;
    summary_[position >> 12] |= uint64_t{1} << ((position >> 6) & 63);
  }
  void Erase(int32_t position) {
    uint64_t& word = words_[position >> 6];
    const uint64_t bit = uint64_t{1} << (position & 63);
    count_ -= (word & bit) == 0 ? 0 : 1;
    word &= ~bit;
    if (word == 0) summary_[position >> 12] &= ~(uint64_t{1} << ((position >> 6) & 63));
  }
  // The first member at or after `position`; -1: none.
  int32_t Next(int32_t position) const;
  int32_t count() const { return count_; }

 private:
  std::vector<uint64_t> words_;
  std::vector<uint64_t> summary_;  // bit w: words_[w] is not 0
  int32_t count_ = 0;
};

inline int32_t RankBitmap::Next(int32_t position) const {
  if (count_ == 0) return -1;
  size_t word = static_cast<size_t>(position) >> 6;
  if (word >= words_.size()) return -1;
  const uint64_t here = words_[word] & (~uint64_t{0} << (position & 63));
  if (here != 0) return static_cast<int32_t>(word * 64) + __builtin_ctzll(here);
  ++word;
  size_t group = word >> 6;
  if (group >= summary_.size()) return -1;
  uint64_t groups = summary_[group] & (~uint64_t{0} << (word & 63));
  while (groups == 0) {
    if (++group == summary_.size()) return -1;
    groups = summary_[group];
  }
  word = group * 64 + static_cast<size_t>(__builtin_ctzll(groups));
  return static_cast<int32_t>(word * 64) + __builtin_ctzll(words_[word]);
}

}  // namespace oneai::fabric
