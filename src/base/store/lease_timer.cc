#include "base/store/lease_timer.h"
