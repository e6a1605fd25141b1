// Precompiled for the few targets that use LibTorch: parsing its headers costs ~20 s a file.
#pragma once
#include <torch/torch.h>
