// File: data_gov/pii/pii_scanner.h
//
// Finds personal data in text at intake: a pattern proposes, a checksum or a context decides, so
// that a list of numbers is not taken for people. Kinds: email, phone, cn-mobile, cn-resident-id
// (GB 11643, ISO 7064 MOD 11-2), credit-card (ISO/IEC 7812, Luhn), iban (ISO 13616, mod 97),
// us-ssn, ipv4.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "oneai/data/v1/data.pb.h"

namespace oneai::gov {

struct PiiMatch {
  std::string kind;
  std::string text;
};

// All findings in one piece of text, in order of kind, then position. Linear in the text's length
// (RE2).
std::vector<PiiMatch> FindPii(absl::string_view text);

// "jo***@***" - enough for a person to recognise a false alarm, not to learn the value.
std::string MaskPii(absl::string_view text);

// Counts over a stream of any size, fed in blocks that may cut a value in two. Memory: one block
// and 4 KiB.
class PiiScanner {
 public:
  void Add(absl::string_view block);
  // Ends the stream. Findings by kind.
  std::vector<data::v1::PiiFinding> Finish();

 private:
  void Scan(absl::string_view text);
  std::string carry_;
  std::map<std::string, data::v1::PiiFinding> findings_;
};

}  // namespace oneai::gov
