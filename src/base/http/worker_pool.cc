#include "base/http/worker_pool.h"
