#include "base/http/request_target.h"
