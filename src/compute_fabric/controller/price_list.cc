#include "compute_fabric/controller/price_list.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/config/reader.h"
#include "base/status.h"

namespace oneai::fabric {

absl::StatusOr<PricePerHour> ParsePrices(absl::string_view text, const std::string& source) {
  ASSIGN_OR_RETURN(const ConfigDocument document, ConfigDocument::Parse(text, source));
  ConfigReader reader(document);
  std::map<std::string, std::string> written;
  reader.Required("prices", written);
  PricePerHour prices;
  for (const auto& [resource, number] : written) {
    double price = 0;
    if (!absl::SimpleAtod(number, &price) || !std::isfinite(price) || price < 0) {
      reader.Fail("prices", absl::StrCat(resource, ": ", number.substr(0, 40),
                                         " is no price; the nearest valid value is 0"));
    }
    prices[resource] = price;
  }
  RETURN_IF_ERROR(reader.Finish());
  return prices;
}

}  // namespace oneai::fabric
