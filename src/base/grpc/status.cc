#include "base/grpc/status.h"
