#include "base/grpc/server.h"
