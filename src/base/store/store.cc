#include "base/store/store.h"
