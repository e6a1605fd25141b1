#include "base/store/sqlite_store.h"
