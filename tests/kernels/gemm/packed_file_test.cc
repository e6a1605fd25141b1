#include "kernels/gemm/packed_file.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/gemm/gemm.h"
#include "tests/kernels/gemm/quantized_weights.h"
#include "tests/kernels/random_tensor.h"
#include "tests/testing/status_matchers.h"

namespace oneai::kernels {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::HasSubstr;

class PackedFileTest : public ::testing::Test {
 protected:
  PackedFileTest() : path_(absl::StrCat(::testing::TempDir(), "/packed_file_test.", getpid())) {}
  ~PackedFileTest() override { std::filesystem::remove(path_); }

  PackedMatrix Dense(WeightFormat format, int64_t n, int64_t k) {
    const std::vector<float> w = RandomFloats(n * k, 1);
    const MatrixView view{w.data(), Dtype::kFloat32, n, k, k};
    return *PackedMatrix::Pack({&view, 1}, format, ctx_);
  }
  PackedMatrix Shuffled() {
    TestWeights w = MakeTestWeights(40, 128, 32, 4, Grid::kHalfZeroPoint, 2);
    ShuffleColumns(w, 3);
    const QuantizedMatrixView view = w.view();
    return *PackedMatrix::PackQuantized({&view, 1}, ctx_);
  }
  void WriteSmall() {
    ASSERT_OK_AND_ASSIGN(PackedFileWriter writer, PackedFileWriter::Create(path_));
    ASSERT_OK(writer.Add("a", Dense(WeightFormat::kInt8, 3, 10)));
    ASSERT_OK(writer.Finish());
  }
  std::string Read() {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  KernelContext ctx_{2};
  const std::string path_;
};

TEST_F(PackedFileTest, MatricesComeBackInPlaceAndMultiplyTheSame) {
  std::vector<PackedMatrix> matrices;
  matrices.push_back(Dense(WeightFormat::kFloat32, 20, 70));
  matrices.push_back(Dense(WeightFormat::kBFloat16, 100, 96));
  matrices.push_back(Dense(WeightFormat::kInt8, 33, 200));
  matrices.push_back(Dense(WeightFormat::kInt4, 65, 192));
  matrices.push_back(Shuffled());
  const std::string note = "made from checkpoint 1234";
  {
    ASSERT_OK_AND_ASSIGN(PackedFileWriter writer, PackedFileWriter::Create(path_));
    for (size_t i = 0; i < matrices.size(); ++i)
      ASSERT_OK(writer.Add(absl::StrCat(i), matrices[i]));
    ASSERT_OK(
        writer.AddBytes("note", {reinterpret_cast<const std::byte*>(note.data()), note.size()}));
    EXPECT_FALSE(std::filesystem::exists(path_));
    ASSERT_OK(writer.Finish());
  }
  ASSERT_OK_AND_ASSIGN(const PackedFile file, PackedFile::Open(path_));
  EXPECT_OK(file.Verify());
  for (size_t i = 0; i < matrices.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const PackedMatrix mapped, file.Matrix(absl::StrCat(i)));
    EXPECT_FALSE(mapped.owns_memory());
    EXPECT_EQ(mapped.header(), matrices[i].header());
    const std::vector<float> x = RandomFloats(3 * mapped.k(), 4);
    std::vector<float> expected(3 * mapped.n()), y(3 * mapped.n());
    GemmArgs args{.x = x.data(),
                  .x_stride = mapped.k(),
                  .w = &matrices[i],
                  .y = expected.data(),
                  .y_stride = mapped.n(),
                  .m = 3};
    Gemm(args, ctx_);
    args.w = &mapped;
    args.y = y.data();
    Gemm(args, ctx_);
    EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0) << i;
  }
  ASSERT_OK_AND_ASSIGN(const auto bytes, file.Bytes("note"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), note);
  EXPECT_THAT(file.Matrix("note"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  EXPECT_THAT(file.Bytes("0"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  EXPECT_THAT(file.Matrix("other"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
}

TEST_F(PackedFileTest, AnUnfinishedFileLeavesNothingBehind) {
  {
    ASSERT_OK_AND_ASSIGN(PackedFileWriter writer, PackedFileWriter::Create(path_));
    ASSERT_OK(writer.Add("a", Dense(WeightFormat::kInt8, 3, 10)));
    EXPECT_THAT(writer.Add("a", Dense(WeightFormat::kInt8, 3, 10)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(std::filesystem::exists(absl::StrCat(path_, ".tmp.", getpid())));
  EXPECT_THAT(PackedFile::Open(path_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("")));
}

TEST_F(PackedFileTest, RefusesAnotherVersion) {
  WriteSmall();
  std::string bytes = Read();
  bytes[12] = static_cast<char>(bytes[12] + 1);
  Write(bytes);
  EXPECT_THAT(PackedFile::Open(path_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("layout")));
}

TEST_F(PackedFileTest, RefusesEveryTruncationAndEveryFlippedByteOfTheTable) {
  WriteSmall();
  const std::string good = Read();
  const auto parse = [](const std::string& bytes) {
    return ParsePackedFile({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  };
  ASSERT_OK(parse(good));
  for (size_t size = 0; size < good.size(); size += size < 100 || size > 8000 ? 1 : 97) {
    EXPECT_FALSE(parse(good.substr(0, size)).ok()) << size;
  }
  for (size_t i = 8192; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_FALSE(parse(bad).ok()) << i;
  }
}

TEST_F(PackedFileTest, VerifyFindsARottenPayload) {
  WriteSmall();
  std::string bytes = Read();
  bytes[4100] = static_cast<char>(bytes[4100] ^ 1);
  Write(bytes);
  ASSERT_OK_AND_ASSIGN(const PackedFile file, PackedFile::Open(path_));
  EXPECT_THAT(file.Verify(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'a'")));
}

TEST(FromMappedTest, RefusesHeadersThatDescribeNoMatrix) {
  const PackedHeader good{.format = WeightFormat::kInt4, .n = 16, .k = 64, .group_size = 64};
  ASSERT_OK(PackedMatrix::PayloadBytes(good));
  const auto refused = [&](auto change) {
    PackedHeader header = good;
    change(header);
    EXPECT_FALSE(PackedMatrix::PayloadBytes(header).ok());
  };
  refused([](PackedHeader& h) { h.layout_version += 1; });
  refused([](PackedHeader& h) { h.format = static_cast<WeightFormat>(4); });
  refused([](PackedHeader& h) { h.offset_form = static_cast<OffsetForm>(5); });
  refused([](PackedHeader& h) { h.scale_form = static_cast<ScaleForm>(2); });
  refused([](PackedHeader& h) { h.n = -1; });
  refused([](PackedHeader& h) { h.n = int64_t{1} << 62; });
  refused([](PackedHeader& h) { h.k = 0; });
  refused([](PackedHeader& h) { h.k = h.group_size = 65537; });
  refused([](PackedHeader& h) { h.group_size = 24; });
  refused([](PackedHeader& h) { h.has_column_order = 2; });
  refused([](PackedHeader& h) { h.format = WeightFormat::kFloat32, h.has_column_order = 1; });
  refused([](PackedHeader& h) {
    h.format = WeightFormat::kFloat32, h.n = h.k = h.group_size = int64_t{1} << 31;
  });
}

}  // namespace
}  // namespace oneai::kernels
