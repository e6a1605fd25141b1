#include "base/http/byte_stream.h"
