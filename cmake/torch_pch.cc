// Holds the precompiled header that every LibTorch target uses (torch_pch.h).
