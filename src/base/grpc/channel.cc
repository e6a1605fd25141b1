#include "base/grpc/channel.h"
