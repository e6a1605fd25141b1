#include "base/http/client.h"
