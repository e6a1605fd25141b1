#include "base/http/connection.h"
