#include "tests/testing/amx_instruction.h"

#include <cstring>

namespace oneai::testing {
namespace {

// Values of VEX.pp.
enum Prefix { kNone = 0, k66 = 1, kF3 = 2, kF2 = 3 };

struct Vex {
  int r, x, b;  // the fourth bits of reg, index and base or rm
  int map, w, vvvv, l;
  Prefix prefix;
};

struct ModRm {
  int mod, reg, rm;
};

Vex DecodeVex(const uint8_t* code) {
  const int one = code[1], two = code[2];
  return {.r = (one >> 7 & 1) ^ 1,
          .x = (one >> 6 & 1) ^ 1,
          .b = (one >> 5 & 1) ^ 1,
          .map = one & 31,
          .w = two >> 7 & 1,
          .vvvv = (two >> 3 & 15) ^ 15,
          .l = two >> 2 & 1,
          .prefix = static_cast<Prefix>(two & 3)};
}

int32_t ReadInt32(const uint8_t* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Fills the memory operand of `in` from what follows ModRM.
void DecodeMemory(const Vex& vex, const ModRm& modrm, const uint8_t* p, AmxInstruction& in) {
  const uint8_t* const start = p;
  in.base = modrm.rm | vex.b << 3;
  if (modrm.rm == 4) {
    const int sib = *p++;
    in.scale = 1 << (sib >> 6);
    in.index = (sib >> 3 & 7) | vex.x << 3;
    if (in.index == 4) in.index = -1;
    in.base = (sib & 7) | vex.b << 3;
    if ((sib & 7) == 5 && modrm.mod == 0) in.base = -1;
  } else if (modrm.rm == 5 && modrm.mod == 0) {
    in.base = -1;
    in.is_rip_relative = true;
  }
  if (modrm.mod == 1) {
    in.displacement = static_cast<int8_t>(*p);
    p += 1;
  } else if (modrm.mod == 2 || in.base < 0) {
    in.displacement = ReadInt32(p);
    p += 4;
  }
  in.length += static_cast<int>(p - start);
}

// Opcode 49: configuration, TILERELEASE, TILEZERO.
std::optional<AmxOp> DecodeControl(const Vex& vex, const ModRm& modrm, AmxInstruction& in) {
  if (vex.vvvv != 0) in.undefined = "VEX.vvvv names a register";
  if (modrm.mod == 3) {
    if (vex.prefix == kNone && modrm.reg == 0 && modrm.rm == 0) return AmxOp::kTilerelease;
    if (vex.prefix != kF2 || modrm.rm != 0) return std::nullopt;
    in.tile = modrm.reg | vex.r << 3;
    return AmxOp::kTilezero;
  }
  if (modrm.reg != 0) return std::nullopt;
  if (vex.prefix == kNone) return AmxOp::kLdtilecfg;
  if (vex.prefix == k66) return AmxOp::kSttilecfg;
  return std::nullopt;
}

// Opcode 4B: loads and stores.
std::optional<AmxOp> DecodeMove(const Vex& vex, const ModRm& modrm, AmxInstruction& in) {
  if (modrm.mod == 3 || vex.prefix == kNone) return std::nullopt;
  if (vex.vvvv != 0) in.undefined = "VEX.vvvv names a register";
  if (modrm.rm != 4) in.undefined = "the memory operand has no SIB byte";
  in.tile = modrm.reg | vex.r << 3;
  return vex.prefix == kF2   ? AmxOp::kTileloadd
         : vex.prefix == k66 ? AmxOp::kTileloaddt1
                             : AmxOp::kTilestored;
}

// Opcodes 5C and 5E: products.
std::optional<AmxOp> DecodeProduct(const Vex& vex, const ModRm& modrm, int opcode,
                                   AmxInstruction& in) {
  if (modrm.mod != 3 || (opcode == 0x5c && vex.prefix != kF3)) return std::nullopt;
  in.tile = modrm.reg | vex.r << 3;
  in.a = modrm.rm | vex.b << 3;
  in.b = vex.vvvv;
  if (in.a > 7 || in.b > 7) in.undefined = "a tile above tmm7";
  if (in.tile == in.a || in.tile == in.b || in.a == in.b) in.undefined = "one tile is named twice";
  if (opcode == 0x5c) return AmxOp::kTdpbf16ps;
  switch (vex.prefix) {
    case kNone:
      return AmxOp::kTdpbuud;
    case k66:
      return AmxOp::kTdpbusd;
    case kF3:
      return AmxOp::kTdpbsud;
    case kF2:
      return AmxOp::kTdpbssd;
  }
  return std::nullopt;
}

}  // namespace

const char* AmxOpName(AmxOp op) {
  constexpr const char* kNames[kNumAmxOps] = {
      "LDTILECFG",  "STTILECFG", "TILERELEASE", "TILEZERO", "TILELOADD", "TILELOADDT1",
      "TILESTORED", "TDPBF16PS", "TDPBSSD",     "TDPBSUD",  "TDPBUSD",   "TDPBUUD"};
  return kNames[static_cast<int>(op)];
}

std::optional<AmxInstruction> DecodeAmx(const uint8_t* code) {
  if (code[0] != 0xc4) return std::nullopt;
  const Vex vex = DecodeVex(code);
  const int opcode = code[3];
  if (vex.map != 2 || (opcode != 0x49 && opcode != 0x4b && opcode != 0x5c && opcode != 0x5e)) {
    return std::nullopt;
  }
  const ModRm modrm{code[4] >> 6, code[4] >> 3 & 7, code[4] & 7};
  AmxInstruction in;
  in.length = 5;
  const std::optional<AmxOp> op = opcode == 0x49   ? DecodeControl(vex, modrm, in)
                                  : opcode == 0x4b ? DecodeMove(vex, modrm, in)
                                                   : DecodeProduct(vex, modrm, opcode, in);
  if (!op.has_value()) return std::nullopt;
  in.op = *op;
  if (modrm.mod != 3) DecodeMemory(vex, modrm, code + 5, in);
  if (in.tile > 7) in.undefined = "a tile above tmm7";
  if (vex.w != 0) in.undefined = "VEX.W is set";
  if (vex.l != 0) in.undefined = "VEX.L is set";
  return in;
}

}  // namespace oneai::testing
