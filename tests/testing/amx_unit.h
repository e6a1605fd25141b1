// The emulator's tile registers and what instructions do to them, in plain C++. Source: Intel SDM
// volume 2, each instruction's operation, and its exception classes AMX-E1 to AMX-E6.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/amx_tiles.h"
#include "tests/testing/amx_instruction.h"

namespace oneai::testing {

inline constexpr int kAmxRows = 16;
inline constexpr int kAmxRowBytes = 64;

// One thread's state (TILECFG and TILEDATA). Trivially constructible, so that a signal handler may
// hold it per thread.
class AmxUnit {
 public:
  struct alignas(64) Tile {
    std::byte row[kAmxRows][kAmxRowBytes];
  };

  // Carries out `in`, whose memory operand starts at `memory` with rows `stride` bytes apart
  // (strides are unused by LDTILECFG and STTILECFG). Returns null, or what the processor would
  // raise and why ("#UD: ..."); then nothing has changed.
  const char* Execute(const AmxInstruction& in, std::byte* memory, int64_t stride);

  bool is_configured() const { return config_.palette != 0; }
  int rows(int tile) const { return config_.rows[tile]; }
  int row_bytes(int tile) const { return config_.row_bytes[tile]; }
  const Tile& tile(int index) const { return tiles_[index]; }

 private:
  const char* LoadConfig(const std::byte* from);
  const char* CheckTile(int tile) const;
  const char* CheckProduct(const AmxInstruction& in) const;
  const char* CheckMove(int tile) const;
  void Load(int tile, const std::byte* from, int64_t stride);
  void Store(int tile, std::byte* to, int64_t stride);
  void Multiply(const AmxInstruction& in);

  Tile tiles_[8] = {};
  kernels::TileConfig config_ = {.palette = 0};
};

// One row of C += A B, for all 16 columns: c[n] += sum over `depth` rows of b. Rows of a and b hold
// 16 pairs of bf16 or quadruples of bytes. bf16: even and odd products are summed apart by FMAs in
// order of k and then added to c, with denormals taken as zeros, results rounded to nearest even
// and tiny ones flushed, whatever MXCSR says. bytes: sums wrap.
void AmxRowBf16(const std::byte* a, const std::byte (*b)[kAmxRowBytes], int depth, std::byte* c);
void AmxRowBytes(const std::byte* a, bool a_signed, const std::byte (*b)[kAmxRowBytes],
                 bool b_signed, int depth, std::byte* c);

}  // namespace oneai::testing
