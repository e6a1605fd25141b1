#include "data_gov/pii/pii_scanner.h"

#include <fstream>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/paths.h"

namespace oneai::gov {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Kinds(absl::string_view text) {
  std::vector<std::string> kinds;
  for (const PiiMatch& match : FindPii(text)) kinds.push_back(match.kind);
  return kinds;
}

TEST(PiiScannerTest, FindsEachKind) {
  EXPECT_THAT(Kinds("write to jane.doe@example.com now"), ElementsAre("email"));
  EXPECT_THAT(Kinds("card 4111 1111 1111 1111."), ElementsAre("credit-card"));
  EXPECT_THAT(Kinds("IBAN DE89 3704 0044 0532 0130 00"), ElementsAre("iban"));
  EXPECT_THAT(Kinds("call +44 20 7946 0958"), ElementsAre("phone"));
  EXPECT_THAT(Kinds("手机13812345678，谢谢"), ElementsAre("cn-mobile"));
  EXPECT_THAT(Kinds("SSN 536-22-8726"), ElementsAre("us-ssn"));
  EXPECT_THAT(Kinds("from 8.8.8.8 to 127.0.0.1"), ElementsAre("ipv4"));
}

TEST(PiiScannerTest, NumbersThatFailTheirChecksumAreNoFindings) {
  EXPECT_THAT(Kinds("4111 1111 1111 1112"), IsEmpty());
  EXPECT_THAT(Kinds("DE88 3704 0044 0532 0130 00"), IsEmpty());
  EXPECT_THAT(Kinds("000-12-3456"), IsEmpty());
  EXPECT_THAT(Kinds("version 1.2.3.4.5, 300.1.1.1"), IsEmpty());
}

TEST(PiiScannerTest, PlainProseHasNoFindings) {
  std::ifstream stream(testing::DataDir().parent_path().parent_path() /
                       "examples/data/tinyshakespeare/input.txt");
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  ASSERT_GT(text.size(), 1'000'000u);
  EXPECT_THAT(FindPii(text), IsEmpty());
}

TEST(PiiScannerTest, ValuesCutByBlocksAreCountedOnce) {
  PiiScanner scanner;
  const std::string text = "a@example.com\nfiller line\nb@example.org and 4111111111111111\n";
  for (const char c : text) scanner.Add(absl::string_view(&c, 1));
  std::map<std::string, int64_t> counts;
  for (const data::v1::PiiFinding& finding : scanner.Finish()) {
    counts[finding.kind()] = finding.count();
    EXPECT_EQ(finding.example().size(), 5u) << "the value itself must not be kept";
  }
  EXPECT_EQ(counts, (std::map<std::string, int64_t>{{"credit-card", 1}, {"email", 2}}));
}

// Vectors that python-stdnum agrees with (tests/data/README.md).
TEST(PiiScannerTest, AgreesWithPublishedChecksumVectors) {
  const std::map<std::string, std::string> kinds = {
      {"CN_RESIDENT_ID", "cn-resident-id"}, {"CN_BANK_CARD", "credit-card"}, {"IBAN", "iban"}};
  std::ifstream stream(testing::DataDir() / "pii" / "checksum_vectors.json");
  int checked = 0;
  for (const nlohmann::json& vector : nlohmann::json::parse(stream)) {
    const auto kind = kinds.find(vector["type"]);
    if (kind == kinds.end()) continue;
    const std::vector<std::string> found = Kinds(vector["value"].get<std::string>());
    const bool reported = std::find(found.begin(), found.end(), kind->second) != found.end();
    EXPECT_EQ(reported, vector["valid"].get<bool>()) << vector["value"];
    ++checked;
  }
  EXPECT_GT(checked, 100);
}

// Planted identifiers and decoys in business sentences: what is found must be right, and most must
// be found.
TEST(PiiScannerTest, FindsPlantedIdentifiersAndLeavesDecoys) {
  const std::map<std::string, std::string> kinds = {{"CN_MOBILE", "cn-mobile"},
                                                    {"CN_RESIDENT_ID", "cn-resident-id"},
                                                    {"CN_BANK_CARD", "credit-card"},
                                                    {"EMAIL", "email"}};
  std::ifstream stream(testing::DataDir() / "pii" / "pii_zh_300.jsonl");
  int planted = 0;
  int found_planted = 0;
  int false_alarms = 0;
  for (std::string line; std::getline(stream, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    std::multiset<std::string> expected;
    for (const nlohmann::json& span : row["spans"]) {
      if (const auto kind = kinds.find(span["type"]); kind != kinds.end())
        expected.insert(kind->second);
    }
    planted += static_cast<int>(expected.size());
    for (const PiiMatch& match : FindPii(row["text"].get<std::string>())) {
      if (match.kind == "ipv4" || match.kind == "phone") continue;
      if (const auto hit = expected.find(match.kind); hit != expected.end()) {
        expected.erase(hit);
        ++found_planted;
      } else {
        ++false_alarms;
      }
    }
  }
  ASSERT_GT(planted, 200);
  EXPECT_EQ(found_planted, planted);
  EXPECT_EQ(false_alarms, 0);
}

}  // namespace
}  // namespace oneai::gov
