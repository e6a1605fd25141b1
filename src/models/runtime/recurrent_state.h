// File: models/runtime/recurrent_state.h
//
// The memory behind linear attention (kernels/delta_net): per sequence a matrix per value head and
// the last inputs of the convolution, for every Gated DeltaNet layer. Unlike a KV cache it does not
// grow with the sequence and cannot be cut back: to return to an earlier token, keep a copy of the
// slot as it was there. It only holds memory; who owns which slot is the caller's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/delta_net/recurrent_state_view.h"
#include "models/config/model_config.h"

namespace oneai::models {

// A slot holds one sequence, contiguously, in float32:
//   [linear layers][tail, state]
// so that it can be copied, stored or sent as one piece. Thread-compatible.
class RecurrentState {
 public:
  // Bytes of one slot; 0 for models without linear-attention layers.
  static int64_t SlotBytes(const ModelConfig& config);

  // Reserves the memory, on huge pages where the system gives them; the system hands out pages as
  // slots are first written. A model without linear-attention layers gets slots of no bytes.
  // InvalidArgument: num_slots below 1. ResourceExhausted: no memory, saying how much was asked
  // for.
  static absl::StatusOr<RecurrentState> Create(const ModelConfig& config, int64_t num_slots);

  int64_t num_slots() const { return num_slots_; }

  // The state before a sequence's first token: zeros. CpuModel needs no call: chunks that start at
  // position 0 start from zeros. `slot` in [0, num_slots).
  void Reset(int32_t slot);
  // Makes slot `to` equal to slot `from`: a fork of a sequence, or a point to come back to.
  void Copy(int32_t from, int32_t to);
  // Slot `slot` as bytes, for snapshots; the span borrows the state.
  absl::Span<std::byte> Slot(int32_t slot);

  // One view per linear-attention layer, in the order of the layers; valid while the state lives,
  // also after it is moved.
  absl::Span<const kernels::RecurrentStateView> layers() const { return layers_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  RecurrentState() = default;

  int64_t num_slots_ = 0;
  int64_t slot_bytes_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
  std::vector<kernels::RecurrentStateView> layers_;
};

}  // namespace oneai::models
