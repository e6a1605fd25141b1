// Decodes the AMX instructions of Sapphire Rapids. Source: Intel SDM volume 2, the instructions'
// pages and section 2.3 (VEX prefix).
#pragma once

#include <cstdint>
#include <optional>

namespace oneai::testing {

enum class AmxOp {
  kLdtilecfg,
  kSttilecfg,
  kTilerelease,
  kTilezero,
  kTileloadd,
  kTileloaddt1,
  kTilestored,
  kTdpbf16ps,
  kTdpbssd,
  kTdpbsud,
  kTdpbusd,
  kTdpbuud,
};
inline constexpr int kNumAmxOps = 12;

// "TDPBF16PS"
const char* AmxOpName(AmxOp op);

struct AmxInstruction {
  AmxOp op = AmxOp::kTilerelease;
  int length = 0;  // bytes
  // tile = C of products (tile += a b), else the tile that is loaded, stored or cleared.
  int tile = 0, a = 0, b = 0;
  // Memory operand: general registers by their number in the encoding (0 rax, 1 rcx, ... 15 r15),
  // -1 for none. The index of TILELOADD and TILESTORED is the stride, not part of the address.
  int base = -1, index = -1;
  int scale = 1;
  int64_t displacement = 0;
  bool is_rip_relative = false;
  // Why this encoding raises #UD; null if it does not.
  const char* undefined = nullptr;
};

// The instruction at `code`, or nullopt if no AMX instruction is there. Reads no byte behind it.
std::optional<AmxInstruction> DecodeAmx(const uint8_t* code);

}  // namespace oneai::testing
