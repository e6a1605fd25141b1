#include "base/files/files.h"
