#include "models/ops/cpu_lora.h"

#include <algorithm>
#include <cstring>

#include "kernels/gemm/gemm.h"

namespace oneai::models {
namespace {

float* AtLeast(std::vector<float>& buffer, int64_t elements) {
  if (static_cast<int64_t>(buffer.size()) < elements) buffer.resize(elements);
  return buffer.data();
}

}  // namespace

void CpuLoraApplier::Add(int32_t site, const float* x, int64_t x_stride,
                         absl::Span<const CpuLora* const> adapters, float* y, int64_t y_stride) {
  seen_.clear();
  for (size_t first = 0; first < adapters.size(); ++first) {
    const CpuLora* adapter = adapters[first];
    if (adapter == nullptr || std::ranges::find(seen_, adapter) != seen_.end()) continue;
    seen_.push_back(adapter);
    const CpuLoraDelta& delta = adapter->sites[site];
    if (delta.blocks.empty()) continue;
    rows_.clear();
    for (size_t r = first; r < adapters.size(); ++r) {
      if (adapters[r] == adapter) rows_.push_back(static_cast<int64_t>(r));
    }
    const auto count = static_cast<int64_t>(rows_.size());
    if (rows_.back() - rows_.front() + 1 == count) {
      AddOne(delta, x + rows_.front() * x_stride, x_stride, y, y_stride);
      continue;
    }
    const int64_t in = delta.a.k();
    float* gathered = AtLeast(gathered_, count * in);
    for (int64_t i = 0; i < count; ++i)
      std::memcpy(gathered + i * in, x + rows_[i] * x_stride,
                  static_cast<size_t>(in) * sizeof(float));
    AddOne(delta, gathered, in, y, y_stride);
  }
}

void CpuLoraApplier::AddOne(const CpuLoraDelta& delta, const float* x, int64_t x_stride, float* y,
                            int64_t y_stride) {
  const auto num_rows = static_cast<int64_t>(rows_.size());
  const int64_t ranks = delta.a.n();
  float* low = AtLeast(low_, num_rows * ranks);
  kernels::Gemm(
      {.x = x, .x_stride = x_stride, .w = &delta.a, .y = low, .y_stride = ranks, .m = num_rows},
      context_);
  for (const CpuLoraDelta::Block& block : delta.blocks) {
    const int64_t width = block.b.n();
    float* change = AtLeast(change_, num_rows * width);
    kernels::Gemm({.x = low + block.rank_begin,
                   .x_stride = ranks,
                   .w = &block.b,
                   .y = change,
                   .y_stride = width,
                   .m = num_rows},
                  context_);
    for (int64_t i = 0; i < num_rows; ++i) {
      const float* from = change + i * width;
      float* to = y + rows_[i] * y_stride + block.out_begin;
      for (int64_t j = 0; j < width; ++j) to[j] += from[j];
    }
  }
}

}  // namespace oneai::models
