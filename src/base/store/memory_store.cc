#include "base/store/memory_store.h"
