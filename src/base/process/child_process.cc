#include "base/process/child_process.h"
