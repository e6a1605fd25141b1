#include "base/http/server.h"
