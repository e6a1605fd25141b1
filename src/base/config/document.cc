#include "base/config/document.h"
