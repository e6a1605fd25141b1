#include <cstring>
#include <memory>
#include <vector>

#include "kernels/gemm/packed_file_format.h"
#include "tests/fuzz/fuzz_target.h"

using namespace oneai::kernels;  // NOLINT: a test's main namespace

namespace {

// Gives the trailer the checksum of what was mutated, so that mutations get past it.
void Sign(std::vector<std::byte>& file) {
  PackedFileTrailer trailer;
  if (file.size() < sizeof(trailer)) return;
  const size_t at = file.size() - sizeof(trailer);
  std::memcpy(&trailer, file.data() + at, sizeof(trailer));
  if (trailer.table_begin < 0 || trailer.table_begin > static_cast<int64_t>(at)) return;
  trailer.table_bytes = static_cast<int64_t>(at) - trailer.table_begin;
  trailer.checksum =
      TableChecksum({file.data() + trailer.table_begin, at - trailer.table_begin}, trailer);
  std::memcpy(file.data() + at, &trailer, sizeof(trailer));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The payload area of a seed is not in the input: it would drown the table.
  std::vector<std::byte> file(4096 + size);
  if (size > 0) std::memcpy(file.data() + 4096, data, size);
  PackedFileStart start{{}, kPackedFileVersion, PackedLayout::kVersion};
  std::memcpy(start.magic, kPackedFileMagic, sizeof(start.magic));
  std::memcpy(file.data(), &start, sizeof(start));
  Sign(file);
  const auto entries = ParsePackedFile(file);
  if (!entries.ok()) return 0;
  for (const PackedFileEntry& entry : *entries) {
    ONEAI_FUZZ_CHECK(entry.begin >= 0 && entry.bytes >= 0);
    ONEAI_FUZZ_CHECK(entry.begin + entry.bytes <= static_cast<int64_t>(file.size()));
    if (!entry.is_matrix) continue;
    // Aligned as a mapping is; what is accepted can be read to its last weight.
    std::vector<std::byte> payload(entry.bytes + 64);
    void* aligned = payload.data();
    size_t space = payload.size();
    std::align(64, entry.bytes, aligned, space);
    if (entry.bytes > 0) std::memcpy(aligned, file.data() + entry.begin, entry.bytes);
    const auto matrix = PackedMatrix::FromMapped(
        entry.header, {static_cast<const std::byte*>(aligned), static_cast<size_t>(entry.bytes)});
    if (!matrix.ok() || matrix->n() == 0 || matrix->k() > 4096) continue;
    std::vector<float> row(matrix->k());
    matrix->CopyRow(0, row.data());
    matrix->CopyRow(matrix->n() - 1, row.data());
  }
  return 0;
}

FuzzSeeds MakeFuzzSeeds() {
  FuzzSeeds seeds;
  const PackedHeader headers[] = {
      {.format = WeightFormat::kInt4,
       .scale_form = ScaleForm::kFloat16,
       .offset_form = OffsetForm::kZeroPoint,
       .n = 16,
       .k = 64,
       .group_size = 32},
      {.format = WeightFormat::kInt8, .n = 3, .k = 20, .group_size = 20, .has_column_order = 1},
      {.format = WeightFormat::kFloat32, .n = 1, .k = 8, .group_size = 8}};
  for (const PackedHeader& header : headers) {
    const int64_t bytes = *PackedMatrix::PayloadBytes(header);
    std::string file(bytes, '\0');
    if (header.has_column_order != 0) {
      for (int32_t i = 0; i < header.k; ++i) {
        std::memcpy(&file[bytes - header.k * 4 + i * 4], &i, 4);
      }
    }
    const PackedFileRecord record{1, 1, header, 4096, bytes, 0};
    file.append(reinterpret_cast<const char*>(&record), sizeof(record)).append("w");
    PackedFileTrailer trailer{{},
                              kPackedFileVersion,
                              PackedLayout::kVersion,
                              4096 + bytes,
                              static_cast<int64_t>(sizeof(record)) + 1,
                              1,
                              0};
    std::memcpy(trailer.magic, kPackedFileMagic, sizeof(trailer.magic));
    file.append(reinterpret_cast<const char*>(&trailer), sizeof(trailer));
    seeds.inputs.push_back(std::move(file));
  }
  seeds.fragments = {std::string("\0\0\0\0\0\0\0\x80", 8), std::string("\x10\0\0\0\0\0\0\0", 8),
                     std::string("\0\x10\0\0\0\0\0\0", 8), "\xff\xff\xff\xff\xff\xff\xff\x7f",
                     "oneaipak"};
  return seeds;
}
