#include "base/store/watch_hub.h"
