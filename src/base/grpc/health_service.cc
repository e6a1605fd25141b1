#include "base/grpc/health_service.h"
