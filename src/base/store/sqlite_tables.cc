#include "base/store/sqlite_tables.h"
