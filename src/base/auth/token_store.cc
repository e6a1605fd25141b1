#include "base/auth/token_store.h"
