// A second start must give the bits of the first, and nothing about the cache may stop a start.
#include "models/runtime/weight_cache.h"

#include <sys/stat.h>

#include <fstream>

#include "models/runtime/cpu_model.h"
#include "tests/models/runtime/tiny_model.h"

namespace oneai::models {
namespace {

namespace fs = std::filesystem;

using ::oneai::testing::FreshFolder;
using ::oneai::testing::SpecsOf;
using ::oneai::testing::TinyQwen3;
using ::oneai::testing::WriteTensors;

class WeightCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = FreshFolder("model");
    cache_ = FreshFolder("cache");
    WriteTensors(model_, SpecsOf(TinyQwen3()));
    std::ofstream(model_ / "config.json") << ToHfJson(TinyQwen3());
  }

  // Logits of a fixed prompt by a model that is loaded with the cache in `folder`.
  std::vector<float> Start(const fs::path& folder,
                           std::optional<kernels::WeightFormat> weights = std::nullopt) {
    CpuModelOptions options;
    options.num_threads = 1;
    options.weights = weights;
    options.weight_cache = folder;
    absl::StatusOr<std::unique_ptr<CpuModel>> model = CpuModel::Load(model_, options);
    EXPECT_OK(model);
    if (!model.ok()) return {};
    absl::StatusOr<PagedKvCache> cache =
        PagedKvCache::Create((*model)->config(), 8, 4, ComputeDtype::kBf16);
    EXPECT_OK(cache);
    const std::vector<int32_t> tokens = {1, 5, 9, 2}, table = {3};
    const SequenceChunk chunk{tokens, 0, table, kAllRows};
    std::vector<float> logits;
    EXPECT_OK((*model)->Forward({&chunk, 1}, *cache, logits));
    return logits;
  }
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(cache_)) files.push_back(entry.path());
    return files;
  }

  fs::path model_, cache_;
};

TEST_F(WeightCacheTest, TheSecondStartGivesTheBitsOfTheFirst) {
  using Format = std::optional<kernels::WeightFormat>;
  size_t num_files = 0;
  for (const Format format :
       {Format(), Format(kernels::WeightFormat::kInt8), Format(kernels::WeightFormat::kInt4)}) {
    const std::vector<float> none = Start("", format);
    EXPECT_EQ(Start(cache_, format), none);
    EXPECT_EQ(Files().size(), ++num_files) << "each format has a file of its own";
    EXPECT_EQ(Start(cache_, format), none);
    EXPECT_EQ(Files().size(), num_files);
  }
}

TEST_F(WeightCacheTest, ChangedWeightsArePackedAnew) {
  const std::vector<float> before = Start(cache_);
  // Other weights in files of the same names and sizes.
  fs::remove(model_ / "model.safetensors");
  std::vector<TensorSpec> specs = SpecsOf(TinyQwen3());
  std::swap(specs.front(), specs.back());  // other draws for each
  WriteTensors(model_, specs);
  const std::vector<float> after = Start(cache_);
  EXPECT_NE(after, before);
  EXPECT_EQ(after, Start(""));
}

TEST_F(WeightCacheTest, ABrokenFileIsReplaced) {
  const std::vector<float> want = Start(cache_);
  ASSERT_EQ(Files().size(), 1u);
  const fs::path file = Files()[0];
  const auto size = fs::file_size(file);
  fs::resize_file(file, size / 2);
  EXPECT_EQ(Start(cache_), want);
  EXPECT_EQ(fs::file_size(file), size);
}

TEST_F(WeightCacheTest, ARottenPayloadIsNotTrusted) {
  const std::vector<float> want = Start(cache_);
  ASSERT_EQ(Files().size(), 1u);
  {
    std::fstream file(Files()[0], std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(3 * 4096 + 77);
    const char byte = static_cast<char>(file.get());
    file.seekp(3 * 4096 + 77);
    file.put(static_cast<char>(byte ^ 0x40));
  }
  EXPECT_EQ(Start(cache_), want);
  EXPECT_EQ(Start(cache_), want);
}

TEST_F(WeightCacheTest, WhatAKilledWriterLeftIsRemovedOnceItIsOld) {
  const fs::path old = cache_ / "0123456789abcdef.packed.tmp.aaaaaa";
  const fs::path fresh = cache_ / "0123456789abcdef.packed.tmp.bbbbbb";
  std::ofstream(old) << "half a file";
  std::ofstream(fresh) << "somebody writes this";
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(1));
  Start(cache_);
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
}

TEST_F(WeightCacheTest, NothingIsKeptWhereItWouldFillTheDisk) {
  const int64_t disk = static_cast<int64_t>(fs::space(cache_).capacity);
  EXPECT_EQ(WeightCache::Open(cache_, "a model as large as the disk", disk), nullptr);
  EXPECT_TRUE(Files().empty());
}

TEST_F(WeightCacheTest, UseIsSeenInTheTimeOfChange) {
  Start(cache_);
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(Files()[0], long_ago);
  Start(cache_);
  EXPECT_GT(fs::last_write_time(Files()[0]), long_ago + std::chrono::minutes(30));
}

TEST_F(WeightCacheTest, AFolderThatCannotBeWrittenStopsNothing) {
  std::ofstream(cache_ / "file") << "x";
  EXPECT_EQ(Start(cache_ / "file" / "below"), Start(""));
}

}  // namespace
}  // namespace oneai::models
