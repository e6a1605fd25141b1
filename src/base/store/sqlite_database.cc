#include "base/store/sqlite_database.h"
