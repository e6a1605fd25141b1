#include "base/http/message.h"
