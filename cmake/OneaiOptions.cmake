# Options, compiler flags and build accelerators. Nothing here names a target.
option(ONEAI_BUILD_TESTS "Build the tests" ON)
option(ONEAI_BUILD_BENCHMARKS "Build the benchmarks" ON)
option(ONEAI_BUILD_TRAINER "Build the targets that link LibTorch" ON)
set(ONEAI_CUDA "AUTO" CACHE STRING "CUDA kernels: AUTO (when nvcc is present), ON, OFF")
set(ONEAI_SANITIZE "" CACHE STRING "Comma separated sanitizers, e.g. address,undefined")
set(ONEAI_SHARED_DIR "${CMAKE_SOURCE_DIR}/../shared" CACHE PATH
    "Folder with the full golden files, traces and data sets; tests that want it skip when it is absent")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Dev: optimised enough to run models, small debug info, assertions (DCHECK) on. FORCE: project() has put empty flags of
# the build type into the cache before.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)

if(ONEAI_SANITIZE)
  add_compile_options(-fsanitize=${ONEAI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ONEAI_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Objects are shared between build folders: paths relative to the source folder, no build folder in the hash.
  set(_ccache "${CMAKE_COMMAND};-E;env;CCACHE_BASEDIR=${CMAKE_SOURCE_DIR};CCACHE_NOHASHDIR=1;CCACHE_SLOPPINESS=pch_defines,time_macros;${CCACHE_PROGRAM}")
  set(CMAKE_C_COMPILER_LAUNCHER "${_ccache}" CACHE STRING "")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${_ccache}" CACHE STRING "")
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
