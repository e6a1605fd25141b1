#include "base/auth/pki.h"
