#include "tests/testing/amx_unit.h"

#include <algorithm>
#include <cstring>

namespace oneai::testing {

const char* AmxUnit::Execute(const AmxInstruction& in, std::byte* memory, int64_t stride) {
  if (in.undefined != nullptr) return in.undefined;
  switch (in.op) {
    case AmxOp::kLdtilecfg:
      return LoadConfig(memory);
    case AmxOp::kSttilecfg:
      std::memcpy(memory, &config_, sizeof(config_));
      return nullptr;
    case AmxOp::kTilerelease:
      *this = AmxUnit();
      return nullptr;
    case AmxOp::kTilezero:
      if (const char* fault = CheckTile(in.tile)) return fault;
      tiles_[in.tile] = Tile{};
      config_.start_row = 0;
      return nullptr;
    case AmxOp::kTileloadd:
    case AmxOp::kTileloaddt1:
      if (const char* fault = CheckMove(in.tile)) return fault;
      Load(in.tile, memory, stride);
      return nullptr;
    case AmxOp::kTilestored:
      if (const char* fault = CheckMove(in.tile)) return fault;
      Store(in.tile, memory, stride);
      return nullptr;
    case AmxOp::kTdpbf16ps:
    case AmxOp::kTdpbssd:
    case AmxOp::kTdpbsud:
    case AmxOp::kTdpbusd:
    case AmxOp::kTdpbuud:
      if (const char* fault = CheckProduct(in)) return fault;
      Multiply(in);
      return nullptr;
  }
  return nullptr;
}

const char* AmxUnit::LoadConfig(const std::byte* from) {
  kernels::TileConfig config;
  std::memcpy(&config, from, sizeof(config));
  if (config.palette == 0) {
    *this = AmxUnit();
    return nullptr;
  }
  if (config.palette != 1) return "#GP: the palette is not 0 or 1";
  for (const uint8_t byte : config.reserved) {
    if (byte != 0) return "#GP: a reserved byte of the configuration is not 0";
  }
  for (int t = 0; t < 16; ++t) {
    const int rows = config.rows[t], bytes = config.row_bytes[t];
    if (t >= 8 && (rows != 0 || bytes != 0)) return "#GP: shapes for tiles above tmm7";
    if (rows > kAmxRows) return "#GP: a tile of more than 16 rows";
    if (bytes > kAmxRowBytes) return "#GP: a tile of more than 64 bytes per row";
    if ((rows == 0) != (bytes == 0)) return "#GP: a tile with rows but no bytes, or the reverse";
  }
  *this = AmxUnit();
  config_ = config;
  return nullptr;
}

const char* AmxUnit::CheckTile(int tile) const {
  if (!is_configured()) return "#UD: tiles are not configured";
  if (rows(tile) == 0) return "#UD: the tile has no shape";
  return nullptr;
}

const char* AmxUnit::CheckMove(int tile) const {
  if (const char* fault = CheckTile(tile)) return fault;
  if (row_bytes(tile) % 4 != 0) return "#UD: bytes per row are no multiple of 4";
  if (config_.start_row >= rows(tile)) return "#UD: start_row is not a row of the tile";
  return nullptr;
}

const char* AmxUnit::CheckProduct(const AmxInstruction& in) const {
  for (const int tile : {in.tile, in.a, in.b}) {
    if (const char* fault = CheckTile(tile)) return fault;
    if (row_bytes(tile) % 4 != 0) return "#UD: bytes per row are no multiple of 4";
  }
  if (rows(in.tile) != rows(in.a)) return "#UD: C and A differ in rows (m)";
  if (row_bytes(in.tile) != row_bytes(in.b)) return "#UD: C and B differ in bytes per row (n)";
  if (row_bytes(in.a) / 4 != rows(in.b)) return "#UD: A's bytes per row / 4 are not B's rows (k)";
  return nullptr;
}

// An interrupted load or store goes on at start_row; rows before it are already there.
void AmxUnit::Load(int tile, const std::byte* from, int64_t stride) {
  for (int r = config_.start_row; r < kAmxRows; ++r) {
    std::byte* row = tiles_[tile].row[r];
    std::memset(row, 0, kAmxRowBytes);
    if (r < rows(tile)) std::memcpy(row, from + r * stride, row_bytes(tile));
  }
  config_.start_row = 0;
}

void AmxUnit::Store(int tile, std::byte* to, int64_t stride) {
  for (int r = config_.start_row; r < rows(tile); ++r) {
    std::memcpy(to + r * stride, tiles_[tile].row[r], row_bytes(tile));
  }
  config_.start_row = 0;
}

void AmxUnit::Multiply(const AmxInstruction& in) {
  const Tile& a = tiles_[in.a];
  const Tile& b = tiles_[in.b];
  Tile& c = tiles_[in.tile];
  const bool a_signed = in.op == AmxOp::kTdpbssd || in.op == AmxOp::kTdpbsud;
  const bool b_signed = in.op == AmxOp::kTdpbssd || in.op == AmxOp::kTdpbusd;
  for (int r = 0; r < kAmxRows; ++r) {
    const int kept = r < rows(in.tile) ? row_bytes(in.tile) : 0;
    if (kept > 0 && in.op == AmxOp::kTdpbf16ps) AmxRowBf16(a.row[r], b.row, rows(in.b), c.row[r]);
    if (kept > 0 && in.op != AmxOp::kTdpbf16ps) {
      AmxRowBytes(a.row[r], a_signed, b.row, b_signed, rows(in.b), c.row[r]);
    }
    std::memset(c.row[r] + kept, 0, kAmxRowBytes - kept);
  }
  config_.start_row = 0;
}

}  // namespace oneai::testing
