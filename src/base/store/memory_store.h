// File: base/store/memory_store.h
//
// A Store without a disk, for tests: the same contract but for durability.
#pragma once

#include <memory>

#include "base/store/store.h"

namespace oneai {

std::unique_ptr<Store> NewMemoryStore();

}  // namespace oneai
