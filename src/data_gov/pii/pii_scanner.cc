#include "data_gov/pii/pii_scanner.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace oneai::gov {
namespace {

// A value longer than this is never personal data of a known kind; bounds what is carried between
// blocks.
constexpr size_t kValueBytesMax = 4096;

std::string Digits(absl::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(c))) digits.push_back(c);
  }
  return digits;
}

bool LooksLikeResidentId(absl::string_view id) {
  const absl::string_view century = id.substr(6, 2);
  return century == "18" || century == "19" || century == "20";
}

// ISO/IEC 7812-1 annex B.
bool PassesLuhn(absl::string_view text) {
  const std::string digits = Digits(text);
  // Thirteen digits were cards once; today they are time stamps. Eighteen with a date of birth
  // inside are an identity number.
  if (digits.size() < 14 || digits.size() > 19 || digits[0] == '0') return false;
  if (digits.size() == 18 && LooksLikeResidentId(digits)) return false;
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int value = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) value = value * 2 > 9 ? value * 2 - 9 : value * 2;
    sum += value;
  }
  // One repeated digit passes the sum for some lengths and is never a card.
  return sum % 10 == 0 && digits.find_first_not_of(digits[0]) != std::string::npos;
}

// GB 11643-1999: 17 digits, a plausible date of birth, and an ISO 7064 MOD 11-2 check character.
bool PassesResidentId(absl::string_view text) {
  std::string id = Digits(text);
  if (id.size() == 17) id.push_back('X');
  static constexpr int kWeights[17] = {7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2};
  static constexpr char kCheck[] = "10X98765432";
  int sum = 0;
  for (int i = 0; i < 17; ++i) sum += (id[i] - '0') * kWeights[i];
  const int month = (id[10] - '0') * 10 + (id[11] - '0');
  const int day = (id[12] - '0') * 10 + (id[13] - '0');
  return month >= 1 && month <= 12 && day >= 1 && day <= 31 &&
         absl::ascii_toupper(static_cast<unsigned char>(id[17])) == kCheck[sum % 11];
}

// Countries of the SWIFT IBAN registry, release 98.
bool IsIbanCountry(absl::string_view code) {
  static constexpr absl::string_view kCountries =
      "AD AE AL AT AZ BA BE BG BH BI BR BY CH CR CY CZ DE DJ DK DO EE EG ES FI FK FO FR GB GE GI "
      "GL GR GT HR HU IE IL IQ "
      "IS IT JO KW KZ LB LC LI LT LU LV LY MC MD ME MK MN MR MT MU NI NL NO OM PK PL PS PT QA RO "
      "RS RU SA SC SD SE SI SK "
      "SM SO ST SV TL TN TR UA VA VG XK YE";
  return kCountries.find(code) != absl::string_view::npos;
}

// ISO 13616: moved check digits, letters as two digits, remainder 1 modulo 97.
bool PassesIban(absl::string_view text) {
  std::string compact;
  for (const char c : text) {
    if (c != ' ') compact.push_back(c);
  }
  if (compact.size() < 15 || compact.size() > 34 ||
      !IsIbanCountry(absl::string_view(compact).substr(0, 2)))
    return false;
  std::rotate(compact.begin(), compact.begin() + 4, compact.end());
  int remainder = 0;
  for (const char c : compact) {
    const int value = absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : c - 'A' + 10;
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder == 1;
}

// The ranges that the Social Security Administration never issued.
bool PassesSsn(absl::string_view text) {
  const std::string digits = Digits(text);
  const std::string area = digits.substr(0, 3);
  return area != "000" && area != "666" && area[0] != '9' && digits.substr(3, 2) != "00" &&
         digits.substr(5) != "0000";
}

// Addresses of documentation, loopback and private use tell nothing about a person.
bool PassesPublicIpv4(absl::string_view text) {
  int octets[4] = {0, 0, 0, 0};
  int index = 0;
  for (const char c : text) {
    if (c == '.') {
      ++index;
    } else {
      octets[index] = octets[index] * 10 + (c - '0');
    }
  }
  if (*std::max_element(octets, octets + 4) > 255) return false;
  return octets[0] != 0 && octets[0] != 10 && octets[0] != 127 && octets[0] < 224 &&
         !(octets[0] == 192 && octets[1] == 168) &&
         !(octets[0] == 172 && octets[1] >= 16 && octets[1] <= 31);
}

bool Always(absl::string_view) { return true; }

struct Recogniser {
  const char* kind;
  const char* pattern;  // one capturing group: the value
  bool (*passes)(absl::string_view);
};

// Patterns end at a non-word character so that a long number is not read as its own middle.
constexpr Recogniser kRecognisers[] = {
    {"email",
     R"(([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,6}\.[A-Za-z]{2,24}))",
     Always},
    {"cn-resident-id",
     R"((?:^|[^0-9A-Za-z])([1-9][0-9]{5} ?(?:18|19|20)[0-9]{6} ?[0-9]{3}[0-9Xx])(?:$|[^0-9A-Za-z]))",
     PassesResidentId},
    {"cn-mobile",
     R"((?:^|[^0-9A-Za-z+])((?:\+?86[- ]?)?1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4})(?:$|[^0-9A-Za-z]))",
     Always},
    {"phone",
     R"((?:^|[^0-9A-Za-z])(\+[1-9][0-9]{0,2}[-. ]?\(?[0-9]{2,4}\)?(?:[-. ]?[0-9]{2,4}){2,3}|\(?[2-9][0-9]{2}\)?[-. ][2-9][0-9]{2}[-. ][0-9]{4})(?:$|[^0-9A-Za-z]))",
     Always},
    {"credit-card",
     R"((?:^|[^0-9A-Za-z.])([1-9][0-9]{3}[- ]?[0-9]{4}[- ]?[0-9]{4}[- ]?[0-9]{2,4}(?:[- ]?[0-9]{1,3})?)(?:$|\.(?:$|[^0-9])|[^0-9A-Za-z.]))",
     PassesLuhn},
    {"iban",
     R"((?:^|[^0-9A-Za-z])([A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?:$|[^0-9A-Za-z]))",
     PassesIban},
    {"us-ssn", R"((?:^|[^0-9A-Za-z-])([0-9]{3}-[0-9]{2}-[0-9]{4})(?:$|[^0-9A-Za-z-]))", PassesSsn},
    {"ipv4",
     R"((?:^|[^0-9A-Za-z.])([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})(?:$|[^0-9A-Za-z.]))",
     PassesPublicIpv4},
};

// Full-width digits and '+' (U+FF10..FF19, U+FF0B), which East Asian input methods write, as ASCII.
std::string Narrowed(absl::string_view text) {
  std::string narrow;
  narrow.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.size() - i >= 3 && text[i] == '\xEF' && text[i + 1] == '\xBC') {
      const auto last = static_cast<unsigned char>(text[i + 2]);
      if ((last >= 0x90 && last <= 0x99) || last == 0x8B) {
        narrow.push_back(last == 0x8B ? '+' : static_cast<char>('0' + last - 0x90));
        i += 2;
        continue;
      }
    }
    narrow.push_back(text[i]);
  }
  return narrow;
}

const RE2& PatternOf(size_t index) {
  static const std::vector<RE2*>* const patterns = [] {
    auto* compiled = new std::vector<RE2*>;
    RE2::Options options;
    options.set_encoding(
        RE2::Options::EncodingLatin1);  // bytes: any input is valid, all patterns are ASCII
    for (const Recogniser& recogniser : kRecognisers)
      compiled->push_back(new RE2(recogniser.pattern, options));
    return compiled;
  }();
  return *(*patterns)[index];
}

}  // namespace

std::vector<PiiMatch> FindPii(absl::string_view original) {
  const std::string narrow = Narrowed(original);
  const absl::string_view text = narrow;
  std::vector<PiiMatch> found;
  for (size_t i = 0; i < std::size(kRecognisers); ++i) {
    re2::StringPiece rest(text.data(), text.size());
    re2::StringPiece value;
    while (RE2::FindAndConsume(&rest, PatternOf(i), &value)) {
      const absl::string_view candidate(value.data(), value.size());
      if (kRecognisers[i].passes(candidate))
        found.push_back({kRecognisers[i].kind, std::string(candidate)});
      // The separator after a value is also the one before the next: give it back.
      const char* const after = value.data() + value.size();
      rest = re2::StringPiece(after, text.data() + text.size() - after);
    }
  }
  return found;
}

std::string MaskPii(absl::string_view text) {
  return absl::StrCat(text.substr(0, std::min<size_t>(2, text.size())), "***");
}

void PiiScanner::Scan(absl::string_view text) {
  for (const PiiMatch& match : FindPii(text)) {
    data::v1::PiiFinding& finding = findings_[match.kind];
    if (finding.count() == 0) {
      finding.set_kind(match.kind);
      finding.set_example(MaskPii(match.text));
    }
    finding.set_count(finding.count() + 1);
  }
}

void PiiScanner::Add(absl::string_view block) {
  carry_.append(block.data(), block.size());
  // Scan up to the last line break, keep the rest: no value spans lines. A line longer than any
  // value is cut.
  size_t cut = carry_.find_last_of('\n');
  if (cut == std::string::npos) {
    if (carry_.size() <= 2 * kValueBytesMax) return;
    cut = carry_.size() - kValueBytesMax;
  }
  Scan(absl::string_view(carry_).substr(0, cut));
  carry_.erase(0, cut);
}

std::vector<data::v1::PiiFinding> PiiScanner::Finish() {
  Scan(carry_);
  carry_.clear();
  std::vector<data::v1::PiiFinding> findings;
  for (auto& [kind, finding] : findings_) findings.push_back(finding);
  findings_.clear();
  return findings;
}

}  // namespace oneai::gov
