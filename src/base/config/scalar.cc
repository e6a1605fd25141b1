#include "base/config/scalar.h"
