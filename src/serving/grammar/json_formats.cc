#include "serving/grammar/json_formats.h"

namespace oneai::serving {
namespace {

// RFC 3339, section 5.6, with the days that each month has. No year 0.
#define ONEAI_YEAR "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
#define ONEAI_LEAP_YEAR                           \
  "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|" \
  "(?:0[48]|[2468][048]|[13579][26])00)"
#define ONEAI_DATE                                     \
  "(?:" ONEAI_YEAR                                     \
  "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|" \
  "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" ONEAI_LEAP_YEAR "-02-29)"
#define ONEAI_TIME                                               \
  "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?" \
  "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define ONEAI_LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define ONEAI_ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,32}"
#define ONEAI_OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define ONEAI_IPV4 ONEAI_OCTET "(?:\\." ONEAI_OCTET "){3}"
#define ONEAI_H16 "[0-9a-fA-F]{1,4}"
// RFC 3986, section 3.
#define ONEAI_PCHAR "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

struct Format {
  absl::string_view name;
  absl::string_view regex;
};

constexpr Format kFormats[] = {
    {"date", ONEAI_DATE},
    {"time", ONEAI_TIME},
    {"date-time", ONEAI_DATE "T" ONEAI_TIME},
    // RFC 3339, appendix A.
    {"duration",
     "P(?:[0-9]{1,9}W|(?:[0-9]{1,9}D|[0-9]{1,9}M(?:[0-9]{1,9}D)?|"
     "[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?)"
     "(?:T(?:[0-9]{1,9}S|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?))?"
     "|"
     "T(?:[0-9]{1,9}S|[0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?))"},
    {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
    {"email", ONEAI_ATOM "(?:\\." ONEAI_ATOM ")?@(?:" ONEAI_LABEL "\\.){1,2}[A-Za-z]{2,24}"},
    {"hostname", ONEAI_LABEL "(?:\\." ONEAI_LABEL "){0,2}"},
    {"ipv4", ONEAI_IPV4},
    // RFC 5952's full form, and one '::' with what is around it.
    {"ipv6", "(?:" ONEAI_H16 ":){7}" ONEAI_H16 "|::(?:(?:" ONEAI_H16 ":){0,6}" ONEAI_H16 ")?|"
             "(?:" ONEAI_H16 ":){1}(?::" ONEAI_H16 "){1,6}|(?:" ONEAI_H16 ":){2}(?::" ONEAI_H16
             "){1,5}|(?:" ONEAI_H16 ":){3}(?::" ONEAI_H16 "){1,4}|(?:" ONEAI_H16
             ":){4}(?::" ONEAI_H16 "){1,3}|(?:" ONEAI_H16 ":){5}(?::" ONEAI_H16
             "){1,2}|(?:" ONEAI_H16 ":){6}:" ONEAI_H16 "|(?:" ONEAI_H16 ":){1,7}:"},
    {"uri", "[A-Za-z][A-Za-z0-9+.-]{1,30}://" ONEAI_LABEL "(?:\\." ONEAI_LABEL
            "){0,3}(?::[1-9][0-9]{0,3})?(?:/" ONEAI_PCHAR "*)*(?:\\?(?:" ONEAI_PCHAR
            "|[/?])*)?(?:#(?:" ONEAI_PCHAR "|[/?])*)?"},
    // A path, as in RFC 3986, section 4.2.
    {"uri-reference",
     "(?:/" ONEAI_PCHAR "+)+(?:\\?(?:" ONEAI_PCHAR "|[/?])*)?(?:#(?:" ONEAI_PCHAR "|[/?])*)?"},
    // RFC 6901; and draft-bhutton-relative-json-pointer.
    {"json-pointer", "(?:/(?:[^/~]|~[01])*)*"},
    {"relative-json-pointer", "(?:0|[1-9][0-9]{0,8})(?:#|(?:/(?:[^/~]|~[01])*)*)"},
};

}  // namespace

absl::string_view FormatRegex(absl::string_view format) {
  for (const Format& f : kFormats) {
    if (f.name == format) return f.regex;
  }
  return "";
}

absl::string_view FormatNames() {
  return "date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri, "
         "uri-reference, json-pointer, relative-json-pointer";
}

}  // namespace oneai::serving
