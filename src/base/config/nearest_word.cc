#include "base/config/reader.h"
