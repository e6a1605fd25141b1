#include "base/grpc/authenticator.h"
