#include "models/runtime/recurrent_state.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace oneai::models {
namespace {

constexpr int64_t kAlignedFloats = 16;  // a cache line: every tail and state starts on one
constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t Aligned(int64_t floats) {
  return (floats + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
}

int64_t TailFloats(const DeltaNetConfig& c) {
  return Aligned((c.conv_kernel - 1) * c.conv_width());
}

int64_t LayerFloats(const DeltaNetConfig& c) {
  return TailFloats(c) + Aligned(c.num_value_heads * c.key_dim * c.value_dim);
}

int64_t NumLinearLayers(const ModelConfig& config) {
  return std::ranges::count(config.layer_types, LayerType::kLinearAttention);
}

}  // namespace

void RecurrentState::Free::operator()(std::byte* p) const { std::free(p); }

int64_t RecurrentState::SlotBytes(const ModelConfig& config) {
  return NumLinearLayers(config) * LayerFloats(config.delta_net) *
         static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<RecurrentState> RecurrentState::Create(const ModelConfig& config,
                                                      int64_t num_slots) {
  if (num_slots < 1 || num_slots > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a recurrent state needs between 1 and 2^31 slots, not ", num_slots));
  }
  RecurrentState state;
  state.num_slots_ = num_slots;
  state.slot_bytes_ = SlotBytes(config);
  if (state.slot_bytes_ == 0) return state;
  const int64_t slots_max = std::numeric_limits<int64_t>::max() / state.slot_bytes_;
  int64_t bytes = num_slots > slots_max ? 0 : num_slots * state.slot_bytes_;
  // Decode passes over a sequence's whole state: with pages of 4 KiB it waits for their translation
  // (AVX-512, Zen 5: 66 us for a layer of Qwen3-Next-80B-A3B, 58 on huge pages).
  const int64_t page = bytes >= kHugePage ? kHugePage : kAlignedFloats * int64_t{sizeof(float)};
  if (bytes != 0 && bytes <= std::numeric_limits<int64_t>::max() - page) {
    bytes = (bytes + page - 1) / page * page;
    state.data_.reset(static_cast<std::byte*>(
        std::aligned_alloc(static_cast<size_t>(page), static_cast<size_t>(bytes))));
  }
  if (state.data_ == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for the recurrent state of ",
                                                     num_slots, " sequences of ", state.slot_bytes_,
                                                     " bytes each: ask for fewer sequences"));
  }
  // A wish: refusal costs speed only.
  if (page == kHugePage) madvise(state.data_.get(), static_cast<size_t>(bytes), MADV_HUGEPAGE);
  const DeltaNetConfig& c = config.delta_net;
  float* layer = reinterpret_cast<float*>(state.data_.get());
  for (int64_t i = 0; i < NumLinearLayers(config); ++i, layer += LayerFloats(c)) {
    state.layers_.push_back(
        {.tail = layer,
         .state = layer + TailFloats(c),
         .slot_stride = state.slot_bytes_ / static_cast<int64_t>(sizeof(float))});
  }
  return state;
}

void RecurrentState::Reset(int32_t slot) {
  if (slot_bytes_ != 0) std::memset(Slot(slot).data(), 0, static_cast<size_t>(slot_bytes_));
}

void RecurrentState::Copy(int32_t from, int32_t to) {
  if (from == to || slot_bytes_ == 0) return;
  std::memcpy(Slot(to).data(), Slot(from).data(), static_cast<size_t>(slot_bytes_));
}

absl::Span<std::byte> RecurrentState::Slot(int32_t slot) {
  return absl::MakeSpan(data_.get() + slot * slot_bytes_, static_cast<size_t>(slot_bytes_));
}

}  // namespace oneai::models
