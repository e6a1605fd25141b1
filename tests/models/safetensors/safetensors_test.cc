#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "models/json/json_reader.h"
#include "models/safetensors/checkpoint.h"
#include "models/safetensors/checkpoint_writer.h"
#include "models/safetensors/safetensors_header.h"
#include "tests/testing/paths.h"
#include "tests/testing/status_matchers.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A fresh empty folder.
fs::path Fresh(const std::string& name) {
  const fs::path folder = fs::path(::testing::TempDir()) / ("safetensors_" + name);
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

absl::Span<const std::byte> Bytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

template <typename T>
absl::Span<const std::byte> BytesOf(const std::vector<T>& values) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                             values.size() * sizeof(T));
}

// Length, header and `data_bytes` zeros.
std::string File(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\0');
}

absl::Status Parse(const std::string& file) {
  return ParseSafetensorsHeader(file, static_cast<int64_t>(file.size()), "m.safetensors").status();
}

TEST(SafetensorsHeaderTest, AcceptsWhatTheFormatAllows) {
  EXPECT_OK(Parse(File("{}", 0)));
  EXPECT_OK(Parse(File("{}      ", 0)));
  EXPECT_OK(Parse(File(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4)));
  EXPECT_OK(Parse(File(R"({"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}})", 0)));
  EXPECT_OK(
      Parse(File(R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},"__metadata__":{"k":"v"},)"
                 R"("a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})",
                 5)));
}

TEST(SafetensorsHeaderTest, RefusesWithFileAndTensorByName) {
  struct Case {
    std::string file;
    const char* message;
  };
  auto tensor = [](const char* entry, size_t data) {
    return File(absl::StrCat("{\"w\":", entry, "}"), data);
  };
  std::string huge = File("{}", 0);
  huge[6] = 1;
  const Case kCases[] = {
      {"", "too few"},
      {"abc", "too few"},
      {huge, "exceeds"},
      {File("{}", 0).substr(0, 9), "cut off"},
      {File(" {}", 0), "does not begin"},
      {File("{", 0), "not valid JSON"},
      {File("{\"w\":1}", 0), "tensor 'w'"},
      {tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 4), "beyond"},
      {tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4), "takes 8 bytes"},
      {tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", 8), "tensor 'w'"},
      {tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8), "leaves a hole"},
      {tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 8), "tensors end at byte"},
      {tensor(R"({"dtype":"F4","shape":[4],"data_offsets":[0,4]})", 4), "F4"},
      {tensor(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4), "shape"},
      {tensor(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", 4), "shape"},
      {tensor(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})", 4),
       "at most 8"},
      {tensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})", 4),
       "overflows"},
      {tensor(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})", 0),
       "overflows"},
      {tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})", 4), "unknown key 'x'"},
      {tensor(R"({"dtype":"F32","shape":[1]})", 4), "data_offsets"},
      {tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]})", 4),
       "data_offsets"},
      {File(R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"v":{"dtype":"U8","shape":[4],)"
            R"("data_offsets":[2,6]}})",
            6),
       "overlaps"},
      {File(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],)"
            R"("data_offsets":[1,2]}})",
            2),
       "duplicate key 'w'"},
      {File(R"({"__metadata__":{"a":1}})", 0), "__metadata__"},
  };
  for (const Case& c : kCases) {
    EXPECT_THAT(Parse(c.file), StatusIs(kInvalid, HasSubstr(c.message)));
    EXPECT_THAT(Parse(c.file), StatusIs(kInvalid, HasSubstr("m.safetensors")));
  }
}

TEST(CheckpointTest, WritesAndReadsEveryDType) {
  const fs::path folder = Fresh("dtypes");
  std::vector<TensorSpec> specs;
  for (const char* name : {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"})
    specs.push_back({absl::StrCat("t.", name), *ParseDType(name), {3, 1}});
  specs.push_back({"empty", DType::kF32, {0, 5}});
  specs.push_back({"scalar", DType::kI64, {}});
  ASSERT_OK_AND_ASSIGN(auto writer, CheckpointWriter::Create(folder, specs));
  for (const TensorSpec& spec : specs) {
    std::string data(*TensorBytes(spec), '\0');
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i + spec.name.size());
    ASSERT_OK(writer->Append(spec.name, Bytes(data.substr(0, data.size() / 2))));
    ASSERT_OK(writer->Append(spec.name, Bytes(data.substr(data.size() / 2))));
  }
  EXPECT_FALSE(fs::exists(folder / "model.safetensors"));
  ASSERT_OK(writer->Commit());
  ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
  EXPECT_EQ(checkpoint.tensors().size(), specs.size());
  EXPECT_EQ(checkpoint.metadata().at("format"), "pt");
  for (const TensorSpec& spec : specs) {
    ASSERT_OK_AND_ASSIGN(TensorView view, checkpoint.Get(spec.name));
    EXPECT_EQ(view.dtype, spec.dtype);
    EXPECT_EQ(view.shape, spec.shape);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data.data()) % DTypeBytes(spec.dtype), 0u)
        << spec.name;
    for (size_t i = 0; i < view.data.size(); ++i)
      ASSERT_EQ(static_cast<uint8_t>(view.data[i]), static_cast<uint8_t>(i + spec.name.size()));
  }
  EXPECT_THAT(checkpoint.Get("nope"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'nope'")));
}

TEST(CheckpointTest, ShardsBySizeAndReplacesTheOtherForm) {
  const fs::path folder = Fresh("shards");
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 5; ++i) specs.push_back({absl::StrCat("w", i), DType::kF32, {4}});
  for (const int64_t shard_bytes : {int64_t{1000}, int64_t{32}}) {
    ASSERT_OK_AND_ASSIGN(auto writer,
                         CheckpointWriter::Create(folder, specs, {.shard_bytes_max = shard_bytes}));
    for (int i = 0; i < 5; ++i)
      ASSERT_OK(writer->Append(absl::StrCat("w", i),
                               BytesOf(std::vector<float>(4, static_cast<float>(i)))));
    ASSERT_OK(writer->Commit());
    ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
    EXPECT_EQ(checkpoint.total_bytes(), 80);
    EXPECT_THAT(*ToFloat32(*checkpoint.Find("w3")), ElementsAre(3, 3, 3, 3));
  }
  EXPECT_FALSE(fs::exists(folder / "model.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "model-00003-of-00003.safetensors"));
}

TEST(CheckpointTest, RefusesABadIndex) {
  const fs::path folder = Fresh("index");
  {
    ASSERT_OK_AND_ASSIGN(
        auto writer, SafetensorsWriter::Create(folder / "a.safetensors", {{"w", DType::kU8, {1}}}));
    ASSERT_OK(writer->Append("w", Bytes("x")));
    ASSERT_OK(writer->Commit());
    fs::copy(folder / "a.safetensors", folder / "b.safetensors");
  }
  auto open = [&](const char* index) {
    std::ofstream(folder / "model.safetensors.index.json") << index;
    return Checkpoint::Open(folder).status();
  };
  EXPECT_OK(open(R"({"weight_map":{"w":"a.safetensors"}})"));
  for (const char* name : {"../a.safetensors", "/a.safetensors", "x/a.safetensors", ".safetensors",
                           "a.bin", "", "a.safetensors\\u0000.safetensors"})
    EXPECT_THAT(open(absl::StrCat(R"({"weight_map":{"w":")", name, R"("}})").c_str()),
                StatusIs(kInvalid, HasSubstr("same folder")));
  EXPECT_THAT(open(R"({"weight_map":{"w":"a.safetensors","v":"a.safetensors"}})"),
              StatusIs(kInvalid, HasSubstr("weight_map.v")));
  EXPECT_THAT(open(R"({"weight_map":{"v":"a.safetensors"}})"),
              StatusIs(kInvalid, HasSubstr("'w'")));
  EXPECT_THAT(open(R"({"weight_map":{"w":"a.safetensors","x":"b.safetensors"}})"),
              StatusIs(kInvalid, HasSubstr("'w'")));
  EXPECT_THAT(open(R"({"weight_map":{"w":"c.safetensors"}})"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("c.safetensors")));
  EXPECT_THAT(open("{}"), StatusIs(kInvalid, HasSubstr("weight_map")));
  EXPECT_THAT(Checkpoint::Open(Fresh("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.safetensors")));
  EXPECT_THAT(Checkpoint::OpenFile(folder), StatusIs(kInvalid, HasSubstr("not a file of weights")));
}

TEST(CheckpointWriterTest, AnIncompleteOrWrongWriteLeavesNoTrace) {
  const fs::path folder = Fresh("incomplete");
  {
    ASSERT_OK_AND_ASSIGN(auto writer, CheckpointWriter::Create(folder, {{"w", DType::kU8, {4}}}));
    EXPECT_THAT(writer->Append("v", Bytes("x")),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("'v'")));
    EXPECT_THAT(writer->Append("w", Bytes("12345")),
                StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("'w'")));
    ASSERT_OK(writer->Append("w", Bytes("123")));
    EXPECT_THAT(writer->Commit(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("lacks 1 bytes")));
  }
  EXPECT_TRUE(fs::is_empty(folder));
  EXPECT_THAT(CheckpointWriter::Create(folder, {{"w", DType::kU8, {1}}, {"w", DType::kU8, {1}}}),
              StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(CheckpointWriter::Create(folder / "absent", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
}

TEST(CheckpointWriterTest, AFullDiskLeavesTheOldFile) {
  const fs::path folder = Fresh("full");
  auto write = [&](int64_t count, char fill) -> absl::Status {
    auto writer = CheckpointWriter::Create(folder, {{"w", DType::kU8, {count}}});
    if (!writer.ok()) return writer.status();
    if (absl::Status s = (*writer)->Append("w", Bytes(std::string(count, fill))); !s.ok()) return s;
    return (*writer)->Commit();
  };
  ASSERT_OK(write(1000, 'a'));
  // A limit on file size is the full disk that a test can make.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit small = old;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = write(100000, 'b');
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("no space left")));
  ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
  EXPECT_EQ(static_cast<char>(checkpoint.Find("w")->data[0]), 'a');
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  EXPECT_EQ(WriteError(ENOSPC, "p", "write").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(WriteError(EIO, "p", "write").code(), absl::StatusCode::kUnavailable);
}

TEST(CheckpointTest, ConvertsToFloat32) {
  const fs::path folder = Fresh("convert");
  ASSERT_OK_AND_ASSIGN(auto writer, CheckpointWriter::Create(folder, {{"h", DType::kF16, {6}},
                                                                      {"b", DType::kBF16, {2}},
                                                                      {"i", DType::kI32, {1}}}));
  // 1, -2, smallest subnormal, largest, +inf, -0
  ASSERT_OK(writer->Append(
      "h", BytesOf(std::vector<uint16_t>{0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00, 0x8000})));
  ASSERT_OK(writer->Append("b", BytesOf(std::vector<uint16_t>{0x3F80, 0xC040})));
  ASSERT_OK(writer->Append("i", BytesOf(std::vector<int32_t>{7})));
  ASSERT_OK(writer->Commit());
  ASSERT_OK_AND_ASSIGN(Checkpoint checkpoint, Checkpoint::Open(folder));
  EXPECT_THAT(*ToFloat32(*checkpoint.Find("h")),
              ElementsAre(1, -2, 5.9604645e-8f, 65504, INFINITY, -0.0f));
  EXPECT_THAT(*ToFloat32(*checkpoint.Find("b")), ElementsAre(1, -3));
  EXPECT_THAT(ToFloat32(*checkpoint.Find("i")), StatusIs(kInvalid, HasSubstr("'i'")));
}

TEST(CheckpointTest, OpensEveryGoldenFolder) {
  const auto shared = testing::SharedDir();
  if (!shared) GTEST_SKIP() << "the shared golden files are not on this machine";
  int count = 0;
  for (const auto& entry : fs::directory_iterator(*shared / "golden")) {
    if (!fs::exists(entry.path() / "golden.safetensors")) continue;
    EXPECT_OK(Checkpoint::OpenFile(entry.path() / "golden.safetensors"));
    if (!fs::exists(entry.path() / "config.json")) continue;
    EXPECT_OK(Checkpoint::Open(entry.path()));
    ++count;
  }
  EXPECT_GT(count, 15);
}

}  // namespace
}  // namespace oneai::models
