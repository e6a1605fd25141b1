// File: controller/free_address.h
//
// A standby opens its ports only when it leads; that they are taken should be known before.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace oneai {

// `address` is host:port as --listen and --web take it. Unavailable: another process listens there,
// or the address is not this machine's. InvalidArgument: no host:port.
absl::Status CheckAddressFree(const std::string& address);

}  // namespace oneai
