#include "base/metrics/metrics.h"
