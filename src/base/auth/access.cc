#include "base/auth/access.h"
