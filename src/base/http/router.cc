#include "base/http/router.h"
