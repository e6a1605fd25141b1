#include "models/gguf/gguf_file.h"

#include <cstring>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "models/gguf/gguf_writer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace oneai::models {
namespace {

using ::oneai::testing::StatusIs;
using ::oneai::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A file written byte by byte from the format's description, apart from the writer.
class Bytes {
 public:
  template <typename T>
  Bytes& Put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    text_.append(raw, sizeof(T));
    return *this;
  }
  Bytes& Text(const std::string& text) {
    Put<uint64_t>(text.size());
    text_ += text;
    return *this;
  }
  Bytes& Begin(uint32_t version, uint64_t tensors, uint64_t keys) {
    text_ += "GGUF";
    return Put(version).Put(tensors).Put(keys);
  }
  Bytes& Tensor(const std::string& name, std::vector<uint64_t> dims, uint32_t type,
                uint64_t offset) {
    Text(name).Put<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) Put(dim);
    return Put(type).Put(offset);
  }
  Bytes& Data(size_t bytes) {
    text_.resize((text_.size() + 31) / 32 * 32 + bytes, '\0');
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

absl::StatusOr<GgufHeader> Parse(const std::string& text) {
  return ParseGguf(text, static_cast<int64_t>(text.size()), "m.gguf");
}

TEST(GgufFileTest, ReadsEveryKindOfValue) {
  Bytes file;
  file.Begin(3, 1, 14);
  file.Text("u8").Put<uint32_t>(0).Put<uint8_t>(200);
  file.Text("i8").Put<uint32_t>(1).Put<int8_t>(-3);
  file.Text("u16").Put<uint32_t>(2).Put<uint16_t>(60000);
  file.Text("i16").Put<uint32_t>(3).Put<int16_t>(-7);
  file.Text("u32").Put<uint32_t>(4).Put<uint32_t>(4000000000u);
  file.Text("i32").Put<uint32_t>(5).Put<int32_t>(-9);
  file.Text("f32").Put<uint32_t>(6).Put<float>(0.5f);
  file.Text("bool").Put<uint32_t>(7).Put<uint8_t>(1);
  file.Text("text").Put<uint32_t>(8).Text("hello");
  file.Text("u64").Put<uint32_t>(10).Put<uint64_t>(1ull << 60);
  file.Text("i64").Put<uint32_t>(11).Put<int64_t>(-1);
  file.Text("f64").Put<uint32_t>(12).Put<double>(0.1);
  file.Text("texts").Put<uint32_t>(9).Put<uint32_t>(8).Put<uint64_t>(2).Text("a").Text("");
  file.Text("ints").Put<uint32_t>(9).Put<uint32_t>(5).Put<uint64_t>(2).Put<int32_t>(4).Put<int32_t>(
      -4);
  file.Tensor("w", {4, 3}, 0, 0).Data(48);
  ASSERT_OK_AND_ASSIGN(const GgufHeader header, Parse(file.text()));
  EXPECT_EQ(*header.Integer("u8", 0, 255), 200);
  EXPECT_EQ(*header.Integer("i8", -128, 127), -3);
  EXPECT_EQ(*header.Integer("u32", 0, UINT32_MAX), 4000000000);
  EXPECT_EQ(*header.Integer("u64", 0, INT64_MAX), int64_t{1} << 60);
  EXPECT_EQ(*header.Real("f32"), 0.5);
  EXPECT_EQ(*header.Real("f64"), 0.1);
  EXPECT_EQ(*header.Real("i16"), -7);
  EXPECT_EQ(*header.Flag("bool"), true);
  EXPECT_EQ(*header.Text("text"), "hello");
  EXPECT_THAT(**header.Strings("texts"), ElementsAre("a", ""));
  EXPECT_THAT(**header.Integers("ints"), ElementsAre(4, -4));
  EXPECT_EQ(*header.Integer("absent", 0, 1), std::nullopt);
  EXPECT_THAT(header.Integer("u8", 0, 100), StatusIs(kInvalid, HasSubstr("'u8'")));
  EXPECT_THAT(header.Text("u8"), StatusIs(kInvalid, HasSubstr("'u8' must be a string")));
  ASSERT_EQ(header.tensors.size(), 1u);
  EXPECT_THAT(header.tensors[0].shape, ElementsAre(3, 4));
  EXPECT_EQ(header.tensors[0].bytes, 48);
}

TEST(GgufFileTest, RefusesWithFileAndPlace) {
  struct Case {
    std::string text;
    const char* message;
  };
  auto with_key = [](const std::function<void(Bytes&)>& put) {
    Bytes file;
    file.Begin(3, 0, 1);
    put(file);
    return file.Data(64).text();
  };
  auto with_tensors = [](std::vector<std::function<void(Bytes&)>> puts, size_t data) {
    Bytes file;
    file.Begin(3, puts.size(), 0);
    for (const auto& put : puts) put(file);
    return file.Data(data).text();
  };
  auto tensor = [](std::string name, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    return [=](Bytes& file) { file.Tensor(name, dims, type, offset); };
  };
  const Case kCases[] = {
      {"GGU", "cut off"},
      {"GGML" + std::string(60, '\0'), "does not begin with 'GGUF'"},
      {Bytes().Begin(1, 0, 0).text(), "version 1"},
      {Bytes().Begin(0x03000000, 0, 0).text(), "big-endian"},
      {Bytes().Begin(3, 1ull << 60, 0).text(), "do not fit the file"},
      {Bytes().Begin(3, 0, 1ull << 40).text(), "do not fit the file"},
      {with_key([](Bytes& f) { f.Put<uint64_t>(1ull << 50); }), "metadata key 0"},
      {with_key([](Bytes& f) { f.Text("k").Put<uint32_t>(13).Put<uint64_t>(0); }), "kind 13"},
      {with_key([](Bytes& f) { f.Text("k").Put<uint32_t>(8).Put<uint64_t>(1ull << 62); }), "'k'"},
      {with_key([](Bytes& f) {
         f.Text("k").Put<uint32_t>(9).Put<uint32_t>(4).Put<uint64_t>(1ull << 61);
       }),
       "does not fit the file"},
      {with_key([](Bytes& f) {
         f.Text("k").Put<uint32_t>(9).Put<uint32_t>(9).Put<uint64_t>(1).Put<uint64_t>(0);
       }),
       "array of value kind 9"},
      {with_key([](Bytes& f) { f.Text("k").Put<uint32_t>(7).Put<uint8_t>(2); }), "bool of value 2"},
      {with_key([](Bytes& f) { f.Text("general.alignment").Put<uint32_t>(4).Put<uint32_t>(24); }),
       "no power of two"},
      {with_tensors({tensor("w", {4}, 0, 0)}, 8), "beyond the 8 data bytes"},
      {with_tensors({tensor("w", {4}, 0, 32)}, 64), "leaves a hole"},
      {with_tensors({tensor("v", {16}, 0, 0), tensor("w", {16}, 0, 32)}, 128), "overlaps"},
      {with_tensors({tensor("w", {8}, 0, 0), tensor("w", {8}, 0, 32)}, 64), "is there twice"},
      {with_tensors({tensor("w", {0}, 0, 0)}, 8), "zero or overflows"},
      {with_tensors({tensor("w", {1ull << 40, 1ull << 40}, 0, 0)}, 8), "zero or overflows"},
      {with_tensors({tensor("w", {1ull << 62}, 0, 0)}, 8), "overflows 64 bits"},
      {with_tensors({tensor("w", {33}, 8, 0)}, 64), "no whole blocks of Q8_0"},
      {with_tensors({tensor("w", {1, 1, 1, 1, 1}, 0, 0)}, 64), "5 dims"},
      {with_tensors({tensor("w", {8}, 0, 1ull << 63)}, 64), "beyond the file"},
      {with_tensors({tensor(std::string(300, 'x'), {8}, 0, 0)}, 64), "300 bytes"},
  };
  for (const Case& c : kCases) {
    EXPECT_THAT(Parse(c.text), StatusIs(kInvalid, HasSubstr(c.message)));
    EXPECT_THAT(Parse(c.text), StatusIs(kInvalid, HasSubstr("m.gguf")));
  }
  EXPECT_THAT(Parse(with_tensors({tensor("w", {256}, 18, 0)}, 256)),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("IQ3_XXS is not read")));
  Bytes twice;
  twice.Begin(3, 0, 2);
  twice.Text("k").Put<uint32_t>(7).Put<uint8_t>(1).Text("k").Put<uint32_t>(7).Put<uint8_t>(1);
  EXPECT_THAT(Parse(twice.Data(0).text()), StatusIs(kInvalid, HasSubstr("'k': is there twice")));
}

TEST(GgufFileTest, EveryTruncationIsRefused) {
  Bytes file;
  file.Begin(2, 1, 1).Text("key").Put<uint32_t>(8).Text("value");
  file.Tensor("w", {32, 2}, 8, 0).Data(68);
  ASSERT_OK(Parse(file.text()));
  for (size_t length = 0; length < file.text().size(); ++length)
    ASSERT_FALSE(Parse(file.text().substr(0, length)).ok()) << length;
}

TEST(GgufWriterTest, WritesWhatTheReaderReads) {
  const TempDir folder;
  const std::filesystem::path path = folder.path() / "m.gguf";
  GgufMetadata metadata;
  metadata.PutText("general.architecture", "qwen3");
  metadata.PutU32("n", 7);
  metadata.PutF32("x", 1.5f);
  metadata.PutBool("b", true);
  metadata.PutTexts("t", std::vector<std::string>{"p", "q"});
  metadata.PutI32s("i", std::vector<int32_t>{1, -2});
  ASSERT_OK_AND_ASSIGN(const auto writer, GgufWriter::Create(path, metadata,
                                                             {{"a", {3}, BlockType::kF32},
                                                              {"b", {2, 32}, BlockType::kQ8_0}}));
  const std::vector<std::byte> a(12, std::byte{1}), b(68, std::byte{2});
  ASSERT_OK(writer->Append("b", absl::MakeConstSpan(b).first(34)));
  ASSERT_OK(writer->Append("a", a));
  EXPECT_THAT(writer->Commit(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'b' still lacks 34")));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_OK(writer->Append("b", absl::MakeConstSpan(b).last(34)));
  EXPECT_THAT(writer->Append("b", b), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("'b'")));
  EXPECT_THAT(writer->Append("c", b), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'c'")));
  ASSERT_OK(writer->Commit());
  ASSERT_OK_AND_ASSIGN(const auto file, GgufFile::Open(path));
  EXPECT_EQ(file->mapping->size() % 32, 0);
  EXPECT_EQ(*file->header.Integer("n", 0, 10), 7);
  EXPECT_THAT(**file->header.Strings("t"), ElementsAre("p", "q"));
  ASSERT_EQ(file->header.tensors.size(), 2u);
  EXPECT_THAT(file->header.tensors[1].shape, ElementsAre(2, 32));
  EXPECT_EQ(std::memcmp(file->DataOf(file->header.tensors[1]), b.data(), b.size()), 0);
}

TEST(GgufWriterTest, RefusesBadSpecsAndLeavesNoTrace) {
  const TempDir folder;
  const auto path = folder.path() / "m.gguf";
  auto create = [&](std::vector<GgufTensorSpec> specs) {
    return GgufWriter::Create(path, GgufMetadata(), std::move(specs)).status();
  };
  EXPECT_THAT(create({{"w", {33}, BlockType::kQ8_0}}), StatusIs(kInvalid, HasSubstr("'w'")));
  EXPECT_THAT(create({{std::string(64, 'n'), {32}, BlockType::kF32}}),
              StatusIs(kInvalid, HasSubstr("63 bytes")));
  EXPECT_THAT(create({{"w", {1}, BlockType::kF32}, {"w", {1}, BlockType::kF32}}),
              StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_OK(create({{"w", {1}, BlockType::kF32}}));  // and drops the writer at once
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace oneai::models
