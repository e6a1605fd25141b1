// File: model_platform/train/torch_boundary.h
//
// The one place where LibTorch's exceptions become statuses, and where its releases (1.13 to 2.x)
// are told apart. Nothing outside of a WithinTorch or WithinCollective call may let an exception
// pass.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "c10/util/Exception.h"

namespace oneai::platform {

// The message without the C++ stack that c10 appends.
inline std::string TorchMessage(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
}

// Calls `fn`, which returns an absl::Status or StatusOr. ResourceExhausted: out of memory.
// Internal: any other exception.
template <typename F>
auto WithinTorch(absl::string_view what, F&& fn) -> decltype(fn()) {
  try {
    return std::forward<F>(fn)();
  } catch (const std::exception& error) {
    const std::string message = absl::StrCat(what, ": ", TorchMessage(error));
    if (absl::StrContains(message, "allocate memory") ||
        absl::StrContains(message, "out of memory") ||
        dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
      return absl::ResourceExhaustedError(message);
    }
    return absl::InternalError(message);
  }
}

// TCPStoreOptions gained `useLibUV` in LibTorch 2.2 and turned it on in 2.4, but not every build
// has libuv; the server on plain sockets is in all of them and is enough for ranks that meet once.
template <typename StoreOptions>
void UsePlainSockets(StoreOptions& options) {
  if constexpr (requires { options.useLibUV; }) options.useLibUV = false;
}

// As WithinTorch for communication: c10d throws when a peer has gone or a time-out has passed,
// which is Unavailable: the gang may be started again.
template <typename F>
auto WithinCollective(absl::string_view what, F&& fn) -> decltype(fn()) {
  try {
    return std::forward<F>(fn)();
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat(what, ": another rank is gone or out of reach: ", TorchMessage(error)));
  }
}

}  // namespace oneai::platform
