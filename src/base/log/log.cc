#include "base/log/log.h"
