// File: base/store/fenced_store.h
//
// A store that may be written only as long as one key stays as it is: the fence. Put around the
// store of a process that has been elected, with the key of its election, every write of every part
// of it ends with the election, also those of a process that slept through its end.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/store/store.h"

namespace oneai {

// Commits compare that `fence` is at `revision`; FailedPrecondition when it no longer is, and
// nothing has changed. Reads, watches and leases pass. `store` must outlive it.
//
// `on_unknown` is called when a commit answers Unavailable: it may have happened, so that what the
// process remembers may no longer be what the store holds.
std::unique_ptr<Store> NewFencedStore(Store* store, std::string fence, int64_t revision,
                                      std::function<void()> on_unknown);

}  // namespace oneai
